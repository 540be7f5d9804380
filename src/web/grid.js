// The front page of a daemon with several streams: a live, muted tile for each, which leads to its player.

import { Screen } from './screen.js';

const GRACE_MS = 5000; // a tile that was scrolled out of sight, or whose tab is hidden, gives its session back after this

/**
 * Between single images on a tile without WebRTC. Each reply without an end would hold one of the six connections that
 * browsers have for a server, and a seventh tile would get none.
 */
const PAUSE_MS = 1000;

/** Fills `main` with a tile for each of `streams`, as `/api/streams` lists them. */
export function showGrid(main, streams) {
  document.title = 'fanlight';
  main.replaceChildren(document.querySelector('#grid').content.cloneNode(true));
  main.dataset.view = 'grid';
  main.dataset.state = 'ready';

  const list = main.querySelector('ul');
  const template = document.querySelector('#tile').content;
  for (const { name } of streams) {
    const item = template.cloneNode(true).firstElementChild;
    const tile = item.querySelector('.tile');
    tile.href = name;
    item.querySelector('.name').textContent = name;
    list.append(item);
    new Screen(tile, name, GRACE_MS, PAUSE_MS);
  }
}
