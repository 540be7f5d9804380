// One stream on one element of the page: holds a session as long as somebody can see it, and shows its status. The
// player is one screen, the grid many.

import { Live } from './live.js';
import { Notice } from './notice.js';
import { ASLEEP, wayBadge, wayName } from './words.js';

export class Screen {
  #root;
  #video;
  #still;
  #notice;
  #name;
  #pause;
  #onstatus;
  #isCurious = false;
  #live = null;

  /**
   * @param {HTMLElement} root holds a `video`, a `canvas`, a `.notice` and a `.way`; its `data-state` tells the state, its
   *   `data-way` how the picture comes, its `data-slate` that the video shows a slate, whose place the message takes
   * @param {string} name the stream
   * @param {object} options
   * @param {AbortSignal} options.signal ends it
   * @param {number} options.grace milliseconds a session is kept while nobody can see it
   * @param {?number} [options.pause] milliseconds between images where there is no WebRTC; null for as many as there are
   * @param {(status: object) => void} [options.onstatus] see words.js
   */
  constructor(root, name, { signal, grace, pause = null, onstatus = () => {} }) {
    this.#root = root;
    this.#name = name;
    this.#pause = pause;
    this.#onstatus = onstatus;
    this.#video = root.querySelector('video');
    this.#video.muted = true; // a copy of a template does not take this from its attribute everywhere
    this.#still = root.querySelector('canvas');
    this.#notice = new Notice(root.querySelector('.notice'));
    onAttention(this.#video, grace, signal, (seen) => (seen ? this.#wake() : this.#sleep()));
    addEventListener('online', () => this.#live?.reroute(), { signal });
    signal.addEventListener('abort', () => {
      this.#notice.stop();
      this.#live?.stop();
      this.#live = null;
    });
  }

  /** Resumes a paused picture. */
  play() {
    this.#live?.play();
  }

  async stats() {
    return this.#live ? this.#live.stats() : new Map();
  }

  /** Whether `stats` is to tell how many watch. */
  set isCurious(value) {
    this.#isCurious = value;
    if (this.#live) this.#live.isCurious = value;
  }

  /** Why the connection is as it is; null while nothing is known. */
  async examine() {
    return this.#live ? this.#live.examine() : null;
  }

  #wake() {
    if (this.#live) {
      this.#live.nudge();
      return;
    }
    this.#live = new Live({
      name: this.#name,
      video: this.#video,
      still: this.#still,
      pause: this.#pause,
      onstatus: (status) => this.#show(status),
      onway: (way) => this.#showWay(way),
    });
    this.#live.isCurious = this.#isCurious;
  }

  #sleep() {
    this.#live?.stop();
    this.#live = null;
    this.#show(ASLEEP);
    this.#showWay(null);
  }

  #showWay(way) {
    if ((this.#root.dataset.way ?? null) === way) return;
    if (way) this.#root.dataset.way = way;
    else delete this.#root.dataset.way;
    const badge = this.#root.querySelector('.way');
    badge.textContent = wayBadge(way);
    badge.title = wayName(way);
  }

  #show(status) {
    if (status.state === 'locked') {
      this.#live?.stop();
      this.#root.dispatchEvent(new CustomEvent('locked', { bubbles: true, detail: status }));
      return;
    }
    this.#root.dataset.state = status.state;
    this.#root.toggleAttribute('data-slate', Boolean(status.slate));
    this.#notice.show(status);
    this.#onstatus(status);
  }
}

/**
 * Calls `onchange(true)` each time `video` comes into sight, and `onchange(false)` once it has been out of it for
 * `grace` milliseconds, or at once when the page is left. A picture-in-picture window is in sight. `signal` ends it.
 */
function onAttention(video, grace, signal, onchange) {
  let inView = false;
  let timer;

  const update = () => {
    clearTimeout(timer);
    const seen = (inView && !document.hidden) || document.pictureInPictureElement === video;
    if (seen) onchange(true);
    else timer = setTimeout(onchange, grace, false);
  };

  const sight = new IntersectionObserver((entries) => {
    inView = entries.at(-1).isIntersecting;
    update();
  }, { rootMargin: '25%' });
  sight.observe(video);
  document.addEventListener('visibilitychange', update, { signal });
  video.addEventListener('leavepictureinpicture', update, { signal });
  addEventListener('pagehide', () => { clearTimeout(timer); onchange(false); }, { signal });
  // Back out of the browser's page cache.
  addEventListener('pageshow', ({ persisted }) => { if (persisted) update(); }, { signal });
  signal.addEventListener('abort', () => { clearTimeout(timer); sight.disconnect(); });
}
