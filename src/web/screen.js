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
  #isCurious = false;
  #live = null;

  /**
   * @param {HTMLElement} root holds a `video`, a `canvas`, a `.notice` and a `.way`; its `data-state` tells the state, its
   *   `data-way` how the picture comes
   * @param {string} name the stream
   * @param {number} grace milliseconds a session is kept while nobody can see it
   * @param {?number} pause milliseconds between images where there is no WebRTC; null for as many as there are
   */
  constructor(root, name, grace, pause = null) {
    this.#root = root;
    this.#name = name;
    this.#pause = pause;
    this.#video = root.querySelector('video');
    this.#video.muted = true; // a copy of a template does not take this from its attribute everywhere
    this.#still = root.querySelector('canvas');
    this.#notice = new Notice(root.querySelector('.notice'));
    onAttention(this.#video, grace, (seen) => (seen ? this.#wake() : this.#sleep()));
    addEventListener('online', () => this.#live?.reroute());
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
  }
}

/**
 * Calls `onchange(true)` each time `video` comes into sight, and `onchange(false)` once it has been out of it for
 * `grace` milliseconds, or at once when the page is left. A picture-in-picture window is in sight.
 */
function onAttention(video, grace, onchange) {
  let inView = false;
  let timer;

  const update = () => {
    clearTimeout(timer);
    const seen = (inView && !document.hidden) || document.pictureInPictureElement === video;
    if (seen) onchange(true);
    else timer = setTimeout(onchange, grace, false);
  };

  new IntersectionObserver((entries) => {
    inView = entries.at(-1).isIntersecting;
    update();
  }, { rootMargin: '25%' }).observe(video);
  document.addEventListener('visibilitychange', update);
  video.addEventListener('leavepictureinpicture', update);
  addEventListener('pagehide', () => { clearTimeout(timer); onchange(false); });
  // Back out of the browser's page cache.
  addEventListener('pageshow', ({ persisted }) => { if (persisted) update(); });
}
