// One stream on one element of the page: holds a session as long as somebody can see it, and shows its status. The
// player is one screen, the grid many.

import { Live } from './live.js';
import { Notice } from './notice.js';
import { ASLEEP } from './words.js';

export class Screen {
  #root;
  #video;
  #still;
  #notice;
  #name;
  #live = null;

  /**
   * @param {HTMLElement} root holds a `video`, a `canvas` and a `.notice`; its `data-state` tells the state
   * @param {string} name the stream
   * @param {number} grace milliseconds a session is kept while nobody can see it
   */
  constructor(root, name, grace) {
    this.#root = root;
    this.#name = name;
    this.#video = root.querySelector('video');
    this.#video.muted = true; // a copy of a template does not take this from its attribute everywhere
    this.#still = root.querySelector('canvas');
    this.#notice = new Notice(root.querySelector('.notice'));
    onAttention(this.#video, grace, (seen) => (seen ? this.#wake() : this.#sleep()));
    addEventListener('online', () => this.#live?.nudge());
  }

  /** Resumes a paused picture. */
  play() {
    this.#live?.play();
  }

  async stats() {
    return this.#live ? this.#live.stats() : new Map();
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
      onstatus: (status) => this.#show(status),
    });
  }

  #sleep() {
    this.#live?.stop();
    this.#live = null;
    this.#show(ASLEEP);
  }

  #show(status) {
    if (status.state === 'locked') {
      this.#live?.stop();
      this.#root.dispatchEvent(new CustomEvent('locked', { bubbles: true, detail: status }));
      return;
    }
    this.#root.dataset.state = status.state;
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
