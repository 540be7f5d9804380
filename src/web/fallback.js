// Keeps JPEG images on a <canvas> for as long as WebRTC does not get through. Has a status once there is something to say
// that is truer than why WebRTC fails.

import { getStream, jpegUrl, mjpegUrl } from './api.js';
import { images, stills } from './mjpeg.js';
import { PLAYING, STALLED, STARTING, cameraDown } from './words.js';

const LOOK_MS = 1000;
const STALLED_MS = 3000; // without an image for this long, the daemon is asked why
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

export class Fallback {
  #name;
  #canvas;
  #pause;
  #onstatus;
  #onnone;
  #status = null;
  #aborter = new AbortController();
  #movedAt = Date.now();
  #timer;
  #figures = { id: 'mjpeg', type: 'mjpeg', images: 0, bytes: 0, width: 0, height: 0 };

  /**
   * Starts at once.
   * @param {object} parts
   * @param {string} parts.name the stream
   * @param {HTMLCanvasElement} parts.canvas where it draws
   * @param {?number} parts.pause milliseconds between single images; all that there are, in one reply, if null
   * @param {() => void} parts.onstatus its `status` is another
   * @param {() => void} parts.onnone the server makes no images; nothing more comes of this
   */
  constructor({ name, canvas, pause, onstatus, onnone }) {
    this.#name = name;
    this.#canvas = canvas;
    this.#pause = pause;
    this.#onstatus = onstatus;
    this.#onnone = onnone;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#run();
  }

  /** See words.js; null while no image has come, and the daemon knows of no reason. */
  get status() {
    return this.#status;
  }

  /** What was shown so far, in the manner of `getStats`. */
  stats() {
    return { ...this.#figures, timestamp: performance.now() };
  }

  stop() {
    clearInterval(this.#timer);
    this.#aborter.abort();
  }

  async #run() {
    const { signal } = this.#aborter;
    for (let wait = FIRST_RETRY_MS; !signal.aborted; wait = Math.min(2 * wait, LAST_RETRY_MS)) {
      const source = this.#pause === null
        ? images(mjpegUrl(this.#name), signal)
        : stills(jpegUrl(this.#name), this.#pause, signal);
      try {
        for await (const image of source) {
          await this.#draw(image);
          wait = FIRST_RETRY_MS;
        }
      } catch (error) {
        if (error.kind === 'not_found' && !signal.aborted) {
          this.#onnone();
          return;
        }
        // Of what is wrong, the other attempts speak.
        if (this.#status === PLAYING) this.#tell(null);
      }
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  }

  async #draw(image) {
    const bitmap = await createImageBitmap(image);
    const { width, height } = bitmap;
    if (this.#aborter.signal.aborted) return;
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    this.#canvas.getContext('2d').drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#canvas.hidden = false;
    this.#movedAt = Date.now();
    const { images: count, bytes } = this.#figures;
    Object.assign(this.#figures, { images: count + 1, bytes: bytes + image.size, width, height });
    this.#tell(PLAYING);
  }

  /** Why no image comes is the daemon's to say. */
  async #look() {
    if (Date.now() - this.#movedAt < STALLED_MS + (this.#pause ?? 0)) return;
    const stream = await getStream(this.#name).catch(() => null);
    if (Date.now() - this.#movedAt < STALLED_MS) return; // meanwhile one came
    if (stream?.error && stream.state !== 'live') this.#tell(cameraDown(stream));
    else if (stream?.state === 'starting') this.#tell(STARTING);
    else this.#tell(this.#status && stream ? STALLED : null);
  }

  #tell(status) {
    if (this.#aborter.signal.aborted || (status === PLAYING && this.#status === PLAYING)) return;
    this.#status = status;
    this.#onstatus();
  }
}
