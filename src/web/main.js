// The page's entry: the path says which stream to play, or that the daemon is to be asked what there is.

import { listStreams, streamInPath } from './api.js';
import { showGrid } from './grid.js';
import { backOff } from './live.js';
import { showLocked } from './locked.js';
import { showMissing } from './missing.js';
import { Notice } from './notice.js';
import { showPlayer } from './player.js';
import { go, onTurn } from './router.js';
import { takeToken } from './token.js';
import { NO_STREAMS, explain } from './words.js';

const main = document.querySelector('main');
const front = main.cloneNode(true).children;
let leave = new AbortController();

takeToken();
// The browser's own frame takes the colour of the view.
new MutationObserver(() => {
  const isStage = ['player', 'front'].includes(main.dataset.view);
  document.querySelector('meta[name=theme-color]').content = getComputedStyle(isStage ? main : document.body).backgroundColor;
}).observe(main, { attributeFilter: ['data-view'] });
main.addEventListener('locked', ({ detail }) => showLocked(main, detail, turn(), go));
main.addEventListener('missing', ({ detail }) => showMissing(main, streamInPath(), detail, turn(), show));
onTurn(show);
show();

/** Ends what is shown; the new view's end is what the signal tells. */
function turn() {
  leave.abort();
  leave = new AbortController();
  delete main.dataset.panels;
  delete main.dataset.way;
  delete main.dataset.slate;
  return leave.signal;
}

function show() {
  const signal = turn();
  const name = streamInPath();
  if (name) showPlayer(main, name, signal);
  else showFront(signal);
}

async function showFront(signal) {
  main.dataset.view = 'front';
  main.dataset.state = 'connecting';
  main.replaceChildren(...[...front].map((child) => child.cloneNode(true)));
  const streams = await anyStreams(signal);
  if (signal.aborted) return;
  if (streams.length === 1) showPlayer(main, streams[0].name, signal);
  else showGrid(main, streams, signal);
}

/** The list of streams as soon as there is one; says meanwhile why there is none. */
async function anyStreams(signal) {
  const notice = new Notice(main.querySelector('.notice'));
  signal.addEventListener('abort', () => notice.stop());
  for (let failures = 0; !signal.aborted; failures += 1) {
    let status = NO_STREAMS;
    try {
      const streams = await listStreams();
      if (streams.length > 0) return streams;
    } catch (error) {
      status = explain(error);
    }
    if (signal.aborted) break;
    if (status.state === 'locked') {
      main.dispatchEvent(new CustomEvent('locked', { detail: status }));
      break;
    }
    const wait = backOff(failures);
    main.dataset.state = status.state;
    notice.show({ ...status, retryAt: Date.now() + wait });
    await new Promise((resolve) => {
      setTimeout(resolve, wait);
      addEventListener('online', resolve, { once: true, signal });
    });
  }
  return [];
}
