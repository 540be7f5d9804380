// The panel that answers "Why?": what is the matter with the connection, and the facts behind it.

import { authorization } from './token.js';

export class WhyPanel {
  #root;
  #examine;

  /**
   * @param {HTMLElement} root holds a `.detail`, a `.more`, a `.hint`, a `dl` and an `a`
   * @param {() => Promise<?object>} examine see doctor.js; null if there is nothing to say
   */
  constructor(root, examine) {
    this.#root = root;
    this.#examine = examine;
  }

  /** Examines, and shows what comes of it. */
  async show() {
    this.#fill({ detail: 'Asking the server…', facts: [] });
    this.#fill(await this.#examine() ?? { detail: 'There is no connection to examine.', facts: [] });
  }

  #fill({ detail, more = '', hint = '', facts, told }) {
    this.#root.querySelector('.detail').textContent = detail;
    this.#root.querySelector('.more').textContent = more;
    this.#root.querySelector('.hint').textContent = hint;
    this.#root.querySelector('dl').replaceChildren(...facts.flatMap(([label, text]) => [
      element('dt', label),
      element('dd', text),
    ]));
    // A token that is kept in memory does not go along with a link.
    const source = this.#root.querySelector('.source');
    source.hidden = !told || 'authorization' in authorization();
    if (told) source.querySelector('a').href = told.url;
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
