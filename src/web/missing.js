// The card for an unknown camera lists the cameras that exist. The server's configuration may change, so the
// list is kept true, and the page continues by itself once the camera is in it.

import { listStreams } from './api.js';
import { listChoices } from './notice.js';
import { titleOf } from './words.js';

const LOOK_MS = 10_000;

/**
 * Fills `main` with what `status` says, and with links to the cameras that there are, until `signal` aborts.
 * @param {() => void} again called when there is a stream of that name after all
 */
export async function showMissing(main, name, status, signal, again) {
  document.title = titleOf(name, status);
  main.replaceChildren(document.querySelector('#missing').content.cloneNode(true));
  main.dataset.view = 'card';
  main.dataset.state = status.state;
  main.querySelector('.title').textContent = status.title;
  main.querySelector('.detail').textContent = status.detail;

  let shown = null;
  while (!signal.aborted) {
    const names = await namesOfStreams();
    if (signal.aborted) return;
    // At first the stream's own reply counts for more.
    if (shown && names.includes(name)) {
      again();
      return;
    }
    // The same links again would take the focus from one of them.
    if (String(shown) !== String(names)) listChoices(main.querySelector('.choices'), names);
    shown = names;
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}

async function namesOfStreams() {
  const streams = await listStreams().catch(() => []);
  return streams.map(({ name }) => name);
}
