// The camera's controls: a panel over the picture, for those who may set them. What is set takes effect at once, and what
// comes back is what the camera made of it.

import { getControls, getStream, setControls } from './api.js';
import { sentence } from './words.js';

const PAUSE_MS = 150; // between two requests while a slider moves

/**
 * Offers the controls of stream `name` once its camera works, if it has any and the viewer may set them.
 * @param {Panels} panels takes the panel in
 */
export async function offerControls(main, name, panels, signal) {
  const [root, button] = ['.settings', '[data-panel=settings]'].map((found) => main.querySelector(found));
  await firstPicture(main, signal);
  if (signal.aborted) return;
  const stream = await getStream(name).catch(() => null);
  if (signal.aborted || !stream?.controls) return;
  const listing = await getControls(name).catch(() => null);
  if (signal.aborted || !listing || listing.controls.length === 0) return;
  const panel = new ControlsPanel(root, name);
  panels.add('settings', { key: 'c', place: 'middle', onopen: () => panel.show() });
  button.hidden = false;
  for (const part of main.querySelectorAll('.keys .settable')) part.hidden = false;
}

/** A camera that is not there has nothing to set. */
function firstPicture(main, signal) {
  return new Promise((resolve) => {
    const looks = new MutationObserver(look);
    function look() {
      if (main.dataset.state !== 'playing' && !signal.aborted) return;
      looks.disconnect();
      resolve();
    }
    looks.observe(main, { attributeFilter: ['data-state'] });
    signal.addEventListener('abort', look);
    look();
  });
}

class ControlsPanel {
  #root;
  #name;
  #rows = new Map(); // by the controls' names
  #wanted = {}; // what is not sent yet
  #sending = false;

  /**
   * @param {HTMLElement} root holds a `.list` and a `.wrong`
   * @param {string} name the stream
   */
  constructor(root, name) {
    this.#root = root;
    this.#name = name;
    // The player's keys are letters and arrows, which choose in a menu here.
    root.addEventListener('keydown', (event) => { if (event.key !== 'Escape' && event.target !== root) event.stopPropagation(); });
  }

  /** Brings it up to date with what the camera says now. */
  async show() {
    await this.#ask(getControls(this.#name));
  }

  /** Shows what comes back, or why nothing does. */
  async #ask(answer) {
    const wrong = this.#root.querySelector('.wrong');
    try {
      this.#show(await answer);
      wrong.textContent = '';
      return true;
    } catch (error) {
      wrong.textContent = sentence(error.message);
      return false;
    }
  }

  #show({ controls }) {
    const list = this.#root.querySelector('.list');
    for (const control of controls) {
      let row = this.#rows.get(control.name);
      if (!row) {
        row = makeRow(control, (value) => this.#set(control.name, value));
        this.#rows.set(control.name, row);
        list.append(row.element);
      }
      // A slider that is being moved is ahead of the camera.
      if (!(control.name in this.#wanted)) row.show(control);
    }
    // Another camera may have been plugged in.
    for (const [name, row] of this.#rows) {
      if (controls.some((control) => control.name === name)) continue;
      row.element.remove();
      this.#rows.delete(name);
    }
  }

  #set(name, value) {
    this.#wanted[name] = value;
    if (!this.#sending) this.#send();
  }

  /** Sends until there is nothing more, one request at a time: of a slider that moves the last value counts. */
  async #send() {
    this.#sending = true;
    while (Object.keys(this.#wanted).length > 0) {
      const values = this.#wanted;
      this.#wanted = {};
      const done = await this.#ask(setControls(this.#name, values));
      if (!done) {
        // What was refused stands until the next change; the controls show what is so.
        const { controls } = await getControls(this.#name).catch(() => ({ controls: null }));
        if (controls) this.#show({ controls });
      }
      await new Promise((resolve) => { setTimeout(resolve, PAUSE_MS); });
    }
    this.#sending = false;
  }
}

/** A control's row: `show` brings it up to date, `set` is called with each value that somebody chooses. */
function makeRow(control, set) {
  const element = document.createElement('div');
  element.className = 'setting';
  element.dataset.name = control.name;
  const make = { integer: makeSlider, boolean: makeSwitch, menu: makeMenu, button: makeButton }[control.kind];
  const { input, show } = make(control, set);
  const id = `control-${control.name}`;
  input.id = id;
  if (control.kind === 'button') {
    element.append(input);
    return { element, show: (now) => { input.disabled = now.read_only || now.inactive; } };
  }
  const label = document.createElement('label');
  label.htmlFor = id;
  label.textContent = control.label;
  const value = document.createElement('output');
  value.htmlFor = id;
  const reset = document.createElement('button');
  reset.type = 'button';
  reset.className = 'reset';
  reset.textContent = '↺';
  reset.title = 'Reset to the default';
  reset.setAttribute('aria-label', `Reset ${control.label} to the default`);
  reset.addEventListener('click', () => set(null));
  element.append(label, value, reset, input);
  return {
    element,
    show(now) {
      show(now, value);
      const fixed = now.read_only || now.inactive;
      input.disabled = fixed || now.value === null;
      element.classList.toggle('inactive', fixed);
      element.title = now.inactive ? 'An automatic mode controls this' : '';
      // Hidden but in its place, so that nothing moves when it appears.
      reset.style.visibility = fixed || (now.value === now.default && !now.kept) ? 'hidden' : '';
    },
  };
}

function makeSlider(control, set) {
  const input = document.createElement('input');
  input.type = 'range';
  input.addEventListener('input', () => {
    input.parentElement.querySelector('output').value = input.value;
    set(input.valueAsNumber);
  });
  return {
    input,
    show({ minimum, maximum, step, value }, output) {
      Object.assign(input, { min: minimum, max: maximum, step });
      if (value !== null) input.value = value;
      output.value = value ?? '–';
    },
  };
}

function makeSwitch(control, set) {
  const input = document.createElement('input');
  input.type = 'checkbox';
  input.role = 'switch';
  input.addEventListener('change', () => set(input.checked));
  return { input, show({ value }) { input.checked = value === true; } };
}

function makeMenu(control, set) {
  const input = document.createElement('select');
  for (const { value, label } of control.menu ?? []) input.add(new Option(label, value));
  input.addEventListener('change', () => set(Number(input.value)));
  return { input, show({ value }) { input.value = value; } };
}

function makeButton(control, set) {
  const input = document.createElement('button');
  input.type = 'button';
  input.textContent = control.label;
  input.addEventListener('click', () => set(true));
  return { input };
}
