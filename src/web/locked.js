// What is shown to who may not watch: one state, one thing to do. Nothing tries again by itself.

const IN_LINK = /[?&]token=([\w.~-]+)/;
const BARE = /^[\w.~-]+$/;

let refused = false;

/** Takes a token out of the address bar. The server did not take it: else it would have led here without. */
export function dropToken() {
  refused = IN_LINK.test(location.search);
  if (!refused) return;
  const query = location.search.slice(1).split('&').filter((part) => !part.startsWith('token='));
  history.replaceState(null, '', location.pathname + (query.length ? `?${query.join('&')}` : ''));
}

/** The token of a link, or one that was pasted by itself; null if the text is neither. */
export function tokenIn(text) {
  const trimmed = text.trim();
  return IN_LINK.exec(trimmed)?.[1] ?? (BARE.test(trimmed) ? trimmed : null);
}

/** Fills `main` with what `status` says, and a field for the link. */
export function showLocked(main, { title, detail, hint }) {
  document.title = 'fanlight';
  main.replaceChildren(document.querySelector('#locked').content.cloneNode(true));
  main.dataset.view = 'front';
  main.dataset.state = 'locked';
  main.querySelector('.title').textContent = title;
  main.querySelector('.detail').textContent = refused ? 'The link that you opened is not good, or not any more.' : detail;
  main.querySelector('.hint').textContent = hint;

  const field = main.querySelector('input');
  const wrong = main.querySelector('.wrong');
  main.querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault();
    const token = tokenIn(field.value);
    wrong.textContent = token ? '' : 'That is neither a link nor a token.';
    if (token) location.assign(`${location.pathname}?token=${token}`);
  });
  field.focus();
}
