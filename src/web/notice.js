// The message over a picture: what is wrong, since a status told it, and how long until the next attempt.

import { pageUrl } from './api.js';

const TICK_MS = 250;

export class Notice {
  #parts;
  #retryAt = null;
  #timer = null;

  /** @param {HTMLElement} root with any of `.camera`, `.title`, `.detail`, `.hint` and `.retry` in it */
  constructor(root) {
    const parts = ['camera', 'title', 'detail', 'hint', 'retry'];
    this.#parts = Object.fromEntries(parts.map((part) => [part, root.querySelector(`.${part}`)]));
  }

  show({ camera = '', title, detail, hint, retryAt }) {
    this.#write('camera', camera);
    this.#write('title', title);
    this.#write('detail', detail);
    this.#write('hint', hint);
    this.#retryAt = retryAt;
    clearInterval(this.#timer);
    if (retryAt !== null) this.#timer = setInterval(() => this.#countDown(), TICK_MS);
    this.#countDown();
  }

  /** Ends the countdown. */
  stop() {
    clearInterval(this.#timer);
  }

  #countDown() {
    const seconds = Math.ceil((this.#retryAt - Date.now()) / 1000);
    if (this.#retryAt === null) this.#write('retry', '');
    else this.#write('retry', seconds > 0 ? `Trying again in ${seconds} s` : 'Trying again…');
  }

  /** Only what changed is written: the same words again would be read out again. */
  #write(part, text) {
    const element = this.#parts[part];
    if (element && element.textContent !== text) element.textContent = text;
  }
}

/** Fills `list` with links to these streams. */
export function listChoices(list, names) {
  list.replaceChildren(...names.map((name) => {
    const link = document.createElement('a');
    link.href = pageUrl(name);
    link.dataset.inside = '';
    link.textContent = name;
    const item = document.createElement('li');
    item.append(link);
    return item;
  }));
}
