// Panels over the picture. Each closes by its button, by Escape and by a tap beside it, takes the focus when it opens and
// gives it back. Where there is no room for two, there is one at a time.

const NARROW = matchMedia('(max-width: 48rem), (max-height: 30rem)');

export class Panels {
  #main;
  #signal;
  #panels = new Map(); // by name
  #open = []; // names, the one that was opened last at the end

  /**
   * @param {HTMLElement} main holds the panels by their ids, and buttons with `data-panel`; its `data-panels` tells which
   *   are open
   * @param {AbortSignal} signal ends it
   */
  constructor(main, signal) {
    this.#main = main;
    this.#signal = signal;
    addEventListener('keydown', (event) => this.#pressed(event), { signal });
    main.addEventListener('click', ({ target }) => {
      if (!target.closest('.panel, .controls, [data-panel]')) this.closeAll();
    }, { signal });
    NARROW.addEventListener('change', () => this.#open.slice(0, -1).forEach((name) => this.close(name)), { signal });
  }

  /**
   * Takes care of a panel.
   * @param {string} name its id
   * @param {object} options
   * @param {string} [options.key] toggles it
   * @param {string} [options.place] panels of one place are never open together
   * @param {() => void} [options.onopen]
   * @param {() => void} [options.onclose]
   */
  add(name, { key = null, place = 'right', onopen = () => {}, onclose = () => {} }) {
    const root = this.#main.querySelector(`#${name}`);
    const buttons = this.#main.querySelectorAll(`[data-panel=${name}]`);
    this.#panels.set(name, { root, buttons, key, place, onopen, onclose, before: null });
    const signal = this.#signal;
    for (const button of buttons) {
      button.setAttribute('aria-controls', name);
      button.setAttribute('aria-expanded', false);
      button.addEventListener('click', () => this.toggle(name), { signal });
    }
    root.querySelector('.close').addEventListener('click', () => this.close(name), { signal });
  }

  toggle(name) {
    if (this.#open.includes(name)) this.close(name);
    else this.open(name);
  }

  open(name) {
    const panel = this.#panels.get(name);
    for (const other of [...this.#open]) {
      if (NARROW.matches || this.#panels.get(other).place === panel.place) this.close(other);
    }
    panel.before = document.activeElement;
    panel.root.hidden = false;
    this.#open.push(name);
    this.#tell(panel);
    panel.root.focus({ preventScroll: true });
    panel.onopen();
  }

  close(name) {
    if (!this.#open.includes(name)) return;
    const panel = this.#panels.get(name);
    const hadFocus = panel.root.contains(document.activeElement) || document.activeElement === document.body;
    this.#open = this.#open.filter((other) => other !== name);
    panel.root.hidden = true;
    this.#tell(panel);
    if (hadFocus && panel.before?.isConnected) panel.before.focus({ preventScroll: true });
    panel.onclose();
  }

  closeAll() {
    for (const name of [...this.#open].reverse()) this.close(name);
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === 'Escape') {
      if (this.#open.length > 0) this.close(this.#open.at(-1)); // leaving full screen is the browser's
      return;
    }
    for (const [name, { key }] of this.#panels) if (key === event.key.toLowerCase()) this.toggle(name);
  }

  #tell({ root, buttons }) {
    for (const button of buttons) button.setAttribute('aria-expanded', !root.hidden);
    if (this.#open.length > 0) this.#main.dataset.panels = this.#open.join(' ');
    else delete this.#main.dataset.panels;
  }
}
