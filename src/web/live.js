// Keeps one stream playing in one <video>: connects, notices when pictures stop, finds out why, and tries again for as
// long as it is not stopped. Tells its owner each time what to say; draws nothing itself.

import { getStream, whepUrl } from './api.js';
import { WhepClient, WhepError } from './whep.js';
import { CONNECTING, PAUSED, PLAYING, STALLED, STARTING, WAITING, cameraDown, explain } from './words.js';

const LOOK_MS = 500; // how often decoded frames are counted
const ASK_MS = 2000; // how often the daemon is asked, while no picture moves
const FIRST_PICTURE_MS = 1000; // without a picture for this long after connecting, ask
const NEXT_PICTURE_MS = 2000; // and for this long after the last one
const PATIENCE_MS = 4000; // a running camera and no picture for this long: the session is dead

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
const UNHURRIED = new Set(['not_found', 'unsupported', 'locked', 'forbidden']); // these last until somebody changes a configuration

/** The pause before attempt number `failures`: doubles, and differs between viewers, who all lose a daemon at once. */
export function backOff(failures, random = Math.random()) {
  return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures) * (0.75 + random / 4);
}

export class Live {
  #name;
  #video;
  #still;
  #onstatus;
  #client = null;
  #said = null;
  #failures = 0;
  #stopped = false;
  #wake = () => {};

  /**
   * Starts at once.
   * @param {object} parts
   * @param {string} parts.name the stream
   * @param {HTMLVideoElement} parts.video where it plays
   * @param {HTMLCanvasElement} parts.still lies over the video and shows the last picture while there is no other;
   *   hidden at first
   * @param {(status: object) => void} parts.onstatus see words.js
   */
  constructor({ name, video, still, onstatus }) {
    this.#name = name;
    this.#video = video;
    this.#still = still;
    this.#onstatus = onstatus;
    this.#run();
  }

  /** Ends it for good. The last picture stays. */
  stop() {
    this.#stopped = true;
    this.#keepPicture();
    this.#client?.close();
    this.#wake();
  }

  /** Something changed for the better, say the network is back: try now instead of after the pause. */
  nudge() {
    this.#failures = 0;
    this.#wake();
    this.play();
  }

  /** Resumes a paused video, or asks again to play one that the browser did not let start by itself. */
  play() {
    this.#video.play().catch(() => {}); // refused: `#watch` sees that it is paused
  }

  async stats() {
    return this.#client ? this.#client.stats() : new Map();
  }

  async #run() {
    this.#show(CONNECTING);
    while (!this.#stopped) {
      try {
        await this.#session();
      } catch (error) {
        if (this.#stopped) return;
        const wait = Math.max(
          UNHURRIED.has(error.kind) ? LAST_RETRY_MS : backOff(this.#failures),
          (error.retryAfter ?? 0) * 1000,
        );
        this.#failures += 1;
        this.#show({ ...explain(error), retryAt: Date.now() + wait });
        await this.#rest(wait);
      }
    }
  }

  /** One session from offer to end; ends by throwing the reason. What was said of a failure stands until it connects. */
  async #session() {
    const client = new WhepClient(whepUrl(this.#name), { codec: 'H264', onstate: () => this.#wake() });
    this.#client = client;
    try {
      this.#attach(await client.connect());
      await this.#watch(client);
    } finally {
      this.#keepPicture();
      client.close();
    }
  }

  #attach(media) {
    this.#video.srcObject = media;
    this.#video.addEventListener('loadeddata', () => this.#wake(), { once: true });
    this.play();
    this.#show(WAITING);
  }

  /** A video turns black with the end of its session, so what it shows is copied before. */
  #keepPicture() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !this.#still.hidden) return;
    this.#still.width = videoWidth;
    this.#still.height = videoHeight;
    this.#still.getContext('2d').drawImage(this.#video, 0, 0);
    this.#still.hidden = false;
  }

  async #watch(client) {
    let frames = 0;
    let movedAt = Date.now();
    let askedAt = 0;
    let runningSince = null; // since when the daemon says that all is well, though no picture moves

    for (;;) {
      await this.#rest(LOOK_MS);
      if (this.#stopped) throw new WhepError('closed', 'Stopped.');
      if (client.state === 'failed') throw new WhepError('lost', 'The session has ended.');

      const now = Date.now();
      const decoded = framesDecoded(await client.stats());
      if (decoded > frames) {
        frames = decoded;
        movedAt = now;
        runningSince = null;
        this.#failures = 0;
        this.#still.hidden = true;
        this.#show(this.#video.paused ? PAUSED : PLAYING);
        continue;
      }
      if (this.#video.paused) {
        this.#show(PAUSED);
        continue;
      }
      if (now - movedAt < (frames ? NEXT_PICTURE_MS : FIRST_PICTURE_MS) || now - askedAt < ASK_MS) continue;

      askedAt = now;
      if (this.#said === PLAYING) this.#show(STALLED); // the daemon may take a while to answer, or not answer at all
      const stream = await getStream(this.#name);
      const disconnected = client.state === 'disconnected';
      // A failed camera does not end the session: its pictures resume in it. A path that is gone as well does.
      const held = !disconnected && (stream.error || stream.state === 'starting') && stream.state !== 'live';
      runningSince = held ? null : (runningSince ?? now);
      if (runningSince && now - runningSince >= PATIENCE_MS) {
        throw new WhepError(disconnected ? 'lost' : 'frozen', 'No picture arrives.');
      }
      if (stream.error && stream.state !== 'live') this.#show(cameraDown(stream));
      else if (stream.state === 'starting') this.#show(STARTING);
      else this.#show(frames ? STALLED : WAITING);
    }
  }

  #show(status) {
    if (this.#stopped) return;
    this.#said = status;
    this.#onstatus(status);
  }

  /** Waits, unless something happens before. */
  #rest(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}

function framesDecoded(report) {
  for (const entry of report.values()) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') return entry.framesDecoded ?? 0;
  }
  return 0;
}
