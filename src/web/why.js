// The panel that answers "Why?": what is the matter with the connection, and the facts behind it.

export class WhyPanel {
  #root;
  #examine;

  /**
   * @param {HTMLElement} root hidden at first; holds a `.detail`, a `.hint`, a `dl` and an `a`
   * @param {() => Promise<?object>} examine see doctor.js; null if there is nothing to say
   */
  constructor(root, examine) {
    this.#root = root;
    this.#examine = examine;
  }

  get shown() {
    return !this.#root.hidden;
  }

  async toggle(shown = !this.shown) {
    this.#root.hidden = !shown;
    if (!shown) return;
    this.#show({ detail: 'Asking the server…', hint: '', facts: [] });
    this.#show(await this.#examine() ?? { detail: 'There is no connection to examine.', hint: '', facts: [] });
  }

  #show({ detail, hint, facts, told }) {
    this.#root.querySelector('.detail').textContent = detail;
    this.#root.querySelector('.hint').textContent = hint;
    this.#root.querySelector('dl').replaceChildren(...facts.flatMap(([label, text]) => [
      element('dt', label),
      element('dd', text),
    ]));
    const link = this.#root.querySelector('a');
    link.hidden = !told;
    if (told) link.href = told.url;
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
