// What is shown to those who may not watch: one state, one thing to do. Nothing tries again by itself.

import { listStreams, listStreamsWith, pageUrl, streamInPath } from './api.js';
import { listChoices } from './notice.js';
import { cameByLink, isFramed, keepToken, pasted } from './token.js';
import { sentence } from './words.js';

const NEITHER = 'That is neither a link nor a token.';

/**
 * Fills `main` with what `status` says, and a field for a link.
 * @param {(url: string) => void} go shows what is at a URL, with the token that is kept by then
 */
export function showLocked(main, status, signal, go) {
  document.title = 'fanlight';
  main.replaceChildren(document.querySelector('#locked').content.cloneNode(true));
  main.dataset.view = 'locked';
  main.dataset.state = 'locked';
  main.querySelector('.title').textContent = status.title;
  main.querySelector('.detail').textContent = detailOf(status, cameByLink());
  main.querySelector('.operator').hidden = Boolean(status.isElsewhere);
  if (status.isElsewhere) offerOthers(main, signal);

  const field = main.querySelector('input');
  const wrong = main.querySelector('.wrong');
  main.querySelector('form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const said = await open(field.value, go);
    if (signal.aborted) return;
    wrong.textContent = said;
    field.setAttribute('aria-invalid', Boolean(said));
    if (said) field.select();
  }, { signal });
  field.focus({ preventScroll: true });
}

/** What is the matter, for one who opened a link, or did not. Pure. */
export function detailOf({ detail, refusal = '', isElsewhere = false }, isByLink) {
  if (isByLink && !isElsewhere) return `This link is invalid or has expired. ${refusal}`.trim();
  return refusal || detail;
}

/** Opens what was pasted; comes back with what is wrong with it. */
async function open(text, go) {
  const found = pasted(text);
  if (!found) return NEITHER;
  const { token, stream } = found;
  try {
    await listStreamsWith(token);
  } catch (error) {
    return error.kind === 'locked' ? wordsFor(found) : sentence(error.message);
  }
  const url = pageUrl(stream ?? streamInPath());
  if (isFramed()) {
    // The server's cookie would not come back from here.
    keepToken(token);
    go(url);
  } else {
    location.assign(`${url}?token=${token}`);
  }
  return '';
}

function wordsFor({ stream }) {
  return stream === null
    ? 'This token is invalid or has expired.'
    : 'This link is invalid or has expired.';
}

/** What the token does open. */
async function offerOthers(main, signal) {
  const streams = await listStreams().catch(() => []);
  if (signal.aborted || streams.length === 0) return;
  main.querySelector('.others').hidden = false;
  listChoices(main.querySelector('.choices'), streams.map(({ name }) => name));
}
