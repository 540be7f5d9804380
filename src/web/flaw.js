// Tells beside the stream's name when the daemon finds its pictures frozen, black or covered.

import { getStream } from './api.js';

const FIRST_MS = 15_000; // the daemon itself takes ten seconds to be sure
const AGAIN_MS = 60_000; // seldom, since every viewer asks

const WORDS = { frozen: 'The picture is frozen', black: 'The picture is black', covered: 'The camera may be covered' };

/** Keeps `main`'s remark on the pictures of stream `name` true, as long as somebody looks; until `signal` aborts. */
export function watchForFlaws(main, name, signal) {
  const remark = main.querySelector('.flaw');
  let timer;
  const look = async () => {
    if (!document.hidden) {
      const stream = await getStream(name).catch(() => null);
      if (stream) {
        remark.textContent = WORDS[stream.picture] ?? '';
        remark.hidden = !remark.textContent;
      }
    }
    // Not all viewers at once.
    if (!signal.aborted) timer = setTimeout(look, AGAIN_MS * (0.75 + Math.random() / 2));
  };
  timer = setTimeout(look, FIRST_MS);
  signal.addEventListener('abort', () => clearTimeout(timer));
}
