// The way from a stream to the others: to the front page, and to the next and the previous one by buttons, arrow keys and
// swipes. A camera that is the only one offers none of them.

import { listStreams, pageUrl } from './api.js';
import { go } from './router.js';

const FAR = 60; // CSS pixels; a shorter move is a tap that slipped

/** The streams beside `name`, in a ring; null if there is no other. Pure. */
export function neighbours(names, name) {
  const at = names.indexOf(name);
  if (at < 0 || names.length < 2) return null;
  return { previous: names.at(at - 1), next: names[(at + 1) % names.length] };
}

/** Where a finger that moved by so much means to go; null if it does not mean to. Pure. */
export function swiped(across, down) {
  if (Math.abs(across) < FAR || Math.abs(across) < 2 * Math.abs(down)) return null;
  return across < 0 ? 'next' : 'previous';
}

/** Offers the way to other streams, where there are any. */
export async function offerNeighbours(main, name, signal) {
  const streams = await listStreams().catch(() => []);
  if (signal.aborted) return;
  const beside = neighbours(streams.map((stream) => stream.name), name);
  if (!beside) return;
  for (const part of main.querySelectorAll('.home, .keys .others')) part.hidden = false;
  for (const [side, other] of Object.entries(beside)) {
    const link = main.querySelector(`.${side}`);
    link.href = pageUrl(other);
    link.title = `${other} (${side === 'next' ? '→' : '←'})`;
    link.setAttribute('aria-label', `${side === 'next' ? 'Next' : 'Previous'} camera: ${other}`);
    link.hidden = false;
  }
  onArrow(signal, (side) => go(pageUrl(beside[side])));
  onSwipe(main, signal, (side) => go(pageUrl(beside[side])));
}

function onArrow(signal, turn) {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat) return;
    if (event.target.closest?.('input, select, summary')) return;
    if (event.key === 'ArrowRight') turn('next');
    if (event.key === 'ArrowLeft') turn('previous');
  }, { signal });
}

function onSwipe(main, signal, turn) {
  let from = null;
  main.addEventListener('touchstart', ({ touches, target }) => {
    const isZoomed = (window.visualViewport?.scale ?? 1) > 1.01; // then a finger moves the page
    from = touches.length === 1 && !isZoomed && !target.closest('.panel, .controls') ? touches[0] : null;
  }, { signal, passive: true });
  main.addEventListener('touchend', ({ changedTouches }) => {
    if (!from) return;
    const side = swiped(changedTouches[0].clientX - from.clientX, changedTouches[0].clientY - from.clientY);
    from = null;
    if (side) turn(side);
  }, { signal, passive: true });
}
