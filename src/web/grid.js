// The front page of a daemon with several streams: a live, muted tile for each, which leads to its player.

import { layOut } from './layout.js';
import { Screen } from './screen.js';

const GRACE_MS = 5000; // a tile that was scrolled out of sight, or whose tab is hidden, gives its session back after this
const SUMMARY_MS = 500; // states that change together are told together

/**
 * Between single images on a tile without WebRTC. Each reply without an end would hold one of the six connections that
 * browsers have for a server, and a seventh tile would get none.
 */
const PAUSE_MS = 1000;

/** Fills `main` with a tile for each of `streams`, as `/api/streams` lists them. */
export function showGrid(main, streams, signal) {
  document.title = machineIn(location.hostname) || 'fanlight';
  main.replaceChildren(document.querySelector('#grid').content.cloneNode(true));
  main.dataset.view = 'grid';
  main.dataset.state = 'ready';
  main.querySelector('.heading').textContent = machineIn(location.hostname) || 'Cameras';

  const states = new Map(streams.map(({ name }) => [name, 'connecting']));
  const tell = tellSummary(main.querySelector('.summary'), states, signal);
  const list = main.querySelector('ul');
  const template = document.querySelector('#tile').content;
  for (const { name } of streams) {
    const item = template.cloneNode(true).firstElementChild;
    const tile = item.querySelector('.tile');
    tile.href = name;
    item.querySelector('.name').textContent = name;
    list.append(item);
    const onstatus = ({ state }) => {
      if (states.get(name) === state) return;
      states.set(name, state);
      tell();
    };
    new Screen(tile, name, { signal, grace: GRACE_MS, pause: PAUSE_MS, onstatus });
  }
  fitTiles(main, list, streams.length, signal);
}

/** The machine's name, where the page was opened by one and not by an address; else empty. Pure. */
export function machineIn(hostname) {
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  return isAddress || /(^|\.)localhost$/.test(hostname) ? '' : hostname.replace(/\.(local|lan|home|home\.arpa)$/, '');
}

/** "8 live, 1 down, 2 connecting, 3 out of view", by how many there are of each. Pure. */
export function summary(states) {
  const kinds = { live: 0, down: 0, connecting: 0, 'out of view': 0 };
  for (const state of states) kinds[kindOf(state)] += 1;
  return Object.entries(kinds).filter(([, count]) => count > 0).map(([kind, count]) => `${count} ${kind}`).join(', ');
}

function kindOf(state) {
  if (state === 'playing') return 'live';
  if (state === 'asleep') return 'out of view';
  return state === 'connecting' || state === 'waiting' ? 'connecting' : 'down';
}

function tellSummary(element, states, signal) {
  let timer = null;
  signal.addEventListener('abort', () => clearTimeout(timer));
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      element.textContent = summary(states.values());
    }, SUMMARY_MS);
  };
}

/** Keeps the tiles as large as they fit the window. */
function fitTiles(main, list, count, signal) {
  const fit = () => {
    const gap = Number.parseFloat(getComputedStyle(list).columnGap) || 0;
    const { paddingTop, paddingBottom } = getComputedStyle(main);
    const around = Number.parseFloat(paddingTop) + Number.parseFloat(paddingBottom);
    const height = innerHeight - around - main.querySelector('header').offsetHeight;
    const { columns, tile } = layOut(count, list.clientWidth, height, gap);
    main.style.setProperty('--columns', columns);
    main.style.setProperty('--tile', `${Math.floor(tile)}px`);
  };
  addEventListener('resize', fit, { signal });
  fit();
}
