// Keeps one stream playing in one <video>: connects, notices when pictures stop, finds out why, and tries again for as
// long as it is not stopped. Where WebRTC fails, over UDP and over TCP, which the browser tries by itself, images over HTTP
// take its place until it works. Tells its owner each time what to say.

import { getStream, whepUrl } from './api.js';
import { examineFailure, examineSession } from './doctor.js';
import { listen } from './events.js';
import { Fallback } from './fallback.js';
import { sample, wayOf } from './stats.js';
import { authorization } from './token.js';
import { WhepClient, WhepError, pairs } from './whep.js';
import { CONNECTING, PAUSED, PLAYING, STALLED, STARTING, WAITING, cameraDown, explain, trying, wayName } from './words.js';

const LOOK_MS = 500; // how often decoded frames are counted
const ASK_MS = 2000; // how often the daemon is asked, while no picture moves
const FIRST_PICTURE_MS = 1000; // without a picture for this long after connecting, ask
const NEXT_PICTURE_MS = 2000; // and for this long after the last one
const SLATES = 2; // the most frames between two looks that a slate makes; more are a camera's
const PATIENCE_MS = 4000; // a running camera and no picture for this long: the session is dead
const GROUP_MS = 13_000; // the same where the camera makes keyframes when it likes, which is each 12 s at the least

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
const LAST_BACKGROUND_RETRY_MS = 60_000; // while images take WebRTC's place
const TELL_MS = 2000; // not connected for this long: the page says what is being tried
const FALL_BACK_MS = 3000; // answered and not connected for this long: images until it is
const FALLING = new Set(['unreachable', 'handshake', 'unsupported', 'frozen']); // images may get through all the same
const UNHURRIED = new Set(['not_found', 'unsupported', 'locked', 'forbidden']); // these last until somebody changes a configuration

/** The pause before attempt number `failures`: doubles, and differs between viewers, who all lose a daemon at once. */
export function backOff(failures, longest = LAST_RETRY_MS, random = Math.random()) {
  return Math.min(longest, FIRST_RETRY_MS * 2 ** failures) * (0.75 + random / 4);
}

export class Live {
  #name;
  #video;
  #still;
  #pause;
  #onstatus;
  #onway;
  #client = null;
  #fallback = null;
  #hasImages = true; // until the server says that it makes none
  #said = CONNECTING;
  #way = null;
  #shownWay = null;
  #diagnosis = null;
  #viewers = null;
  #isCurious = false;
  #deaf = new AbortController();
  #failures = 0;
  #stopped = false;
  #wake = () => {};

  /**
   * Starts at once.
   * @param {object} parts
   * @param {string} parts.name the stream
   * @param {HTMLVideoElement} parts.video where it plays
   * @param {HTMLCanvasElement} parts.still lies over the video and shows the last picture while there is no other, and
   *   images; hidden at first
   * @param {?number} parts.pause milliseconds between images; null for as many as there are
   * @param {(status: object) => void} parts.onstatus see words.js
   * @param {(way: ?string) => void} parts.onway how the picture comes: `udp`, `tcp`, `relay`, `mjpeg`; null while none does
   */
  constructor({ name, video, still, pause, onstatus, onway }) {
    this.#name = name;
    this.#video = video;
    this.#still = still;
    this.#pause = pause;
    this.#onstatus = onstatus;
    this.#onway = onway;
    this.#run();
  }

  /** Ends it for good. The last picture stays. */
  stop() {
    this.#stopped = true;
    this.#keepPicture();
    this.#fallback?.stop();
    this.#deaf.abort();
    this.#client?.close();
    this.#wake();
  }

  /** Something changed for the better, say the tab is looked at again: try now instead of after the pause. */
  nudge() {
    this.#failures = 0;
    this.#wake();
    this.play();
  }

  /** The network is another one, or back: the session may have to find another way. */
  async reroute() {
    this.nudge();
    await this.#client?.restart();
    this.#wake();
  }

  /** Resumes a paused video, or asks again to play one that the browser did not let start by itself. */
  play() {
    this.#video.play().catch(() => {}); // refused: `#watch` sees that it is paused
  }

  /** What `getStats` says of the session, or of images, and how many watch if it `isCurious`. */
  async stats() {
    if (this.#fallback?.status === PLAYING) return new Map([['mjpeg', this.#fallback.stats()]]);
    const report = new Map(this.#client ? await this.#client.stats() : []);
    if (this.#viewers !== null) report.set('viewers', { type: 'viewers', count: this.#viewers });
    return report;
  }

  /** Whether to be told how many watch. */
  set isCurious(value) {
    this.#isCurious = value;
    if (this.#client) this.#listen(this.#client);
  }

  /** Why the connection is as it is, see doctor.js; null while nothing is known. */
  async examine() {
    const found = await this.#examine();
    return found && { ...found, facts: [['In use', wayName(this.#shownWay)], ...found.facts] };
  }

  async #examine() {
    const { session, state } = this.#client ?? {};
    if (session && (state === 'connected' || state === 'disconnected')) {
      return examineSession(session, await this.#client.stats());
    }
    if (!session || this.#diagnosis) return this.#diagnosis;
    const begun = { session, pairs: pairs(await this.#client.stats()), message: 'The connection is not established yet.' };
    return examineFailure(begun);
  }

  async #run() {
    this.#show(CONNECTING);
    while (!this.#stopped) {
      try {
        await this.#session();
      } catch (error) {
        if (this.#stopped) return;
        const longest = this.#fallback ? LAST_BACKGROUND_RETRY_MS : LAST_RETRY_MS;
        const wait = Math.max(
          UNHURRIED.has(error.kind) ? LAST_RETRY_MS : backOff(this.#failures, longest),
          (error.retryAfter ?? 0) * 1000,
        );
        this.#failures += 1;
        const status = explain(error);
        // A name that is wrong stays wrong, though a stream may come with the server's next configuration.
        const retryAt = status.state === 'unknown' ? null : Date.now() + wait;
        this.#show({ ...status, retryAt });
        await this.#rest(wait);
      }
    }
  }

  /** One session from offer to end; ends by throwing the reason. What was said of a failure stands until it connects. */
  async #session() {
    const client = new WhepClient(whepUrl(this.#name), {
      codec: 'H264',
      headers: authorization(),
      onstate: (state) => this.#entered(client, state),
    });
    this.#client = client;
    const slow = setTimeout(() => {
      if (this.#said.state === 'connecting') this.#show(trying(client.session, client.offered));
    }, TELL_MS);
    const late = setTimeout(() => { if (client.session) this.#showImages(); }, FALL_BACK_MS);
    try {
      const media = await client.connect();
      clearTimeout(late);
      clearTimeout(slow);
      this.#attach(media);
      this.#listen(client);
      await this.#watch(client);
    } catch (error) {
      // Before the client is closed, if it is not: the server forgets a session that was connected when it is deleted.
      if (FALLING.has(error.kind)) await this.#fall(error);
      throw error;
    } finally {
      clearTimeout(late);
      clearTimeout(slow);
      this.#keepPicture();
      this.#deaf.abort();
      this.#way = null;
      client.close();
    }
  }

  #entered(client, state) {
    if (state === 'disconnected') client.restart();
    this.#wake();
  }

  #attach(media) {
    this.#video.srcObject = media;
    this.#video.addEventListener('loadeddata', () => this.#wake(), { once: true });
    this.play();
    this.#show(WAITING);
  }

  /** WebRTC failed, for reasons that need not concern HTTP. */
  async #fall(error) {
    this.#showImages();
    error.diagnosis = await examineFailure(error);
    this.#diagnosis = error.diagnosis;
  }

  #showImages() {
    if (this.#stopped || !this.#hasImages) return;
    this.#fallback ??= new Fallback({
      name: this.#name,
      canvas: this.#still,
      pause: this.#pause,
      onstatus: () => this.#tell(),
      onnone: () => {
        this.#hasImages = false;
        this.#fallback?.stop();
        this.#fallback = null;
      },
    });
  }

  /** The video moves: what was in its place goes. */
  #rise() {
    this.#fallback?.stop();
    this.#fallback = null;
    this.#diagnosis = null;
    this.#still.hidden = true;
  }

  /** Has the events of a session told, or not. */
  #listen(client) {
    this.#deaf.abort();
    this.#viewers = null;
    if (!this.#isCurious || !client.events) return;
    this.#deaf = new AbortController();
    const heard = (_, { viewercount }) => { this.#viewers = viewercount; };
    listen(client.events, ['viewercount'], heard, this.#deaf.signal).catch(() => {});
  }

  /** A video turns black with the end of its session, so the camera's last picture is copied before. */
  #keepPicture() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || !this.#still.hidden || this.#said.slate) return;
    this.#still.width = videoWidth;
    this.#still.height = videoHeight;
    this.#still.getContext('2d').drawImage(this.#video, 0, 0);
    this.#still.hidden = false;
  }

  async #watch(client) {
    let frames = 0;
    let lookedAt = Date.now();
    let movedAt = Date.now();
    let askedAt = 0;
    let isAsking = false;
    let isKnown = false; // whether what the video shows is the camera's
    let down = null; // what the video shows is a slate, and this is what it says
    let runningSince = null; // since when the daemon says that all is well, though no picture moves

    const tell = () => {
      if (isKnown) this.#show(this.#video.paused ? PAUSED : (down ?? PLAYING));
    };
    // Pictures come, whether HTTP does or not: nothing waits for the answer.
    const ask = async () => {
      isAsking = true;
      const stream = await getStream(this.#name).catch(() => null);
      isAsking = false;
      if (this.#stopped || this.#client !== client || client.state === 'closed') return;
      isKnown = true;
      if (stream?.state === 'live') down = null;
      else if (stream) down = { ...(stream.error ? cameraDown(stream) : STARTING), slate: true };
      // Pictures that stopped meanwhile are said to have.
      if (Date.now() - movedAt < NEXT_PICTURE_MS) tell();
    };

    for (;;) {
      await this.#rest(LOOK_MS);
      if (this.#stopped) throw new WhepError('closed', 'Stopped.');
      if (client.state === 'failed') throw new WhepError('lost', 'The session has ended.');

      const now = Date.now();
      const looks = Math.max(1, (now - lookedAt) / LOOK_MS);
      lookedAt = now;
      const report = sample(await client.stats());
      const decoded = report?.video.framesDecoded ?? 0;
      if (decoded > frames) {
        const isSlow = decoded - frames <= SLATES * looks;
        frames = decoded;
        movedAt = now;
        runningSince = null;
        this.#failures = 0;
        this.#way = wayOf(report);
        this.#rise();
        if (!isSlow) [isKnown, down] = [true, null];
        tell();
        if (isSlow && !isAsking && now - askedAt >= ASK_MS) {
          askedAt = now;
          ask();
        }
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
      const patience = disconnected || stream.makes_keyframes ? PATIENCE_MS : GROUP_MS;
      if (runningSince && now - runningSince >= patience) {
        const error = new WhepError(disconnected ? 'lost' : 'frozen', 'No picture arrives.');
        throw Object.assign(error, { session: client.session, pairs: pairs(await client.stats()) });
      }
      // Pictures are sent, so it may be the way that they take.
      if (runningSince && frames) client.restart();
      if (stream.error && stream.state !== 'live') this.#show(cameraDown(stream));
      else if (stream.state === 'starting') this.#show(STARTING);
      else this.#show(frames ? STALLED : WAITING);
    }
  }

  #show(status) {
    this.#said = status;
    this.#tell();
  }

  /** What images have to say counts for more than what WebRTC lacks, unless nobody may watch. */
  #tell() {
    if (this.#stopped) return;
    const ofImages = this.#said.state === 'locked' ? null : this.#fallback?.status;
    const status = ofImages ?? this.#said;
    this.#onstatus(status);
    const way = ofImages ? 'mjpeg' : this.#way;
    this.#shownWay = status.state === 'playing' ? way : null;
    this.#onway(this.#shownWay);
  }

  /** Waits, unless something happens before. */
  #rest(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}
