// The page's entry: the path says which stream to play, or that the daemon is to be asked what there is.

import { listStreams, streamInPath } from './api.js';
import { showGrid } from './grid.js';
import { backOff } from './live.js';
import { dropToken, showLocked } from './locked.js';
import { Notice } from './notice.js';
import { showPlayer } from './player.js';
import { NO_STREAMS, explain } from './words.js';

dropToken();
const main = document.querySelector('main');
main.addEventListener('locked', ({ detail }) => showLocked(main, detail));
const name = streamInPath();
if (name) showPlayer(main, name);
else await showFront();

async function showFront() {
  const streams = await anyStreams();
  if (!streams) return;
  if (streams.length === 1) showPlayer(main, streams[0].name);
  else showGrid(main, streams);
}

/** The list of streams as soon as there is one, null if it is not for us; says meanwhile why there is none. */
async function anyStreams() {
  const notice = new Notice(main.querySelector('.notice'));
  for (let failures = 0; ; failures += 1) {
    let status = NO_STREAMS;
    try {
      const streams = await listStreams();
      if (streams.length > 0) return streams;
    } catch (error) {
      status = explain(error);
      if (status.state === 'locked') {
        showLocked(main, status);
        return null;
      }
    }
    const wait = backOff(failures);
    main.dataset.state = status.state;
    notice.show({ ...status, retryAt: Date.now() + wait });
    await new Promise((resolve) => {
      setTimeout(resolve, wait);
      addEventListener('online', resolve, { once: true });
    });
  }
}
