// The statistics of a session: one `getStats` report and the one before it become rows for people to read.

import { delay, spokenDelay, verdict } from './verdict.js';
import { wayName } from './words.js';

const SPAN = 5; // samples, one a second, that the verdict is about

/** How the picture of a report comes: `udp`, `tcp` or `relay`; null if that is not settled. */
export function wayOf({ local, remote }) {
  if (local?.candidateType === 'relay') return 'relay';
  return local?.protocol ?? remote?.protocol ?? null;
}

/** What the rows need of a report, as plain numbers; null without video or images in it. */
export function sample(report) {
  const entries = [...report.values()];
  const images = entries.find(({ type }) => type === 'mjpeg');
  if (images) return { images };
  const video = entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
  if (!video) return null;
  const transport = entries.find(({ type }) => type === 'transport');
  const pair = report.get(transport?.selectedCandidatePairId)
    ?? entries.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded');
  return {
    video,
    codec: report.get(video.codecId),
    viewers: report.get('viewers')?.count,
    roundTrip: pair?.currentRoundTripTime,
    local: report.get(pair?.localCandidateId),
    remote: report.get(pair?.remoteCandidateId),
  };
}

/** `[[key, label, text, isDetail], ...]`; rates are between `before`, which may be null, and `now`. */
export function rows(now, before) {
  if (now.images) return rowsOfImages(now.images, before?.images ?? {});
  const { video, codec } = now;
  const since = before?.video?.id === video.id ? before.video : {};
  const delta = (key) => video[key] - since[key];
  const seconds = delta('timestamp') / 1000;
  const lost = Math.max(0, video.packetsLost);

  return [
    ['delay', 'Delay (network, buffering)', spokenDelay(delay(now, before))],
    ['size', 'Picture', video.frameWidth ? `${video.frameWidth} × ${video.frameHeight}` : '–'],
    ['fps', 'Frame rate', unit(delta('framesDecoded') / seconds, 1, 'fps')],
    ['bitrate', 'Data rate', unit((delta('bytesReceived') * 8) / seconds / 1e6, 2, 'Mbit/s')],
    ['viewers', 'Viewers', now.viewers === undefined ? '–' : count(now.viewers)],
    ['way', 'Connection', wayName(wayOf(now)), true],
    ['lost', 'Packets lost', `${count(lost)} (${unit((100 * lost) / (lost + video.packetsReceived), 2, '%')})`, true],
    ['repair', 'Repair requests', `${count(video.nackCount)} NACK, ${count(video.pliCount)} PLI`, true],
    ['rtt', 'Round trip', unit(now.roundTrip * 1000, 1, 'ms'), true],
    ['jitter', 'Jitter buffer', unit((1000 * delta('jitterBufferDelay')) / delta('jitterBufferEmittedCount'), 0, 'ms'), true],
    ['decode', 'Decoding', unit((1000 * delta('totalDecodeTime')) / delta('framesDecoded'), 1, 'ms per frame'), true],
    ['frames', 'Frames', `${count(video.framesDecoded)} decoded, ${count(video.framesDropped)} dropped`, true],
    ['codec', 'Codec', codec ? codecName(codec) : '–', true],
    ['local', 'This device', endpoint(now.local), true],
    ['remote', 'Server', endpoint(now.remote), true],
  ];
}

function rowsOfImages(now, before) {
  const delta = (key) => now[key] - before[key];
  const seconds = delta('timestamp') / 1000;
  return [
    ['size', 'Picture', now.width ? `${now.width} × ${now.height}` : '–'],
    ['fps', 'Frame rate', unit(delta('images') / seconds, 1, 'fps')],
    ['bitrate', 'Data rate', unit((delta('bytes') * 8) / seconds / 1e6, 2, 'Mbit/s')],
    ['way', 'Connection', wayName('mjpeg'), true],
    ['frames', 'Frames', `${count(now.images)} decoded`, true],
  ];
}

function unit(value, digits, name) {
  return Number.isFinite(value) ? `${value.toFixed(digits)} ${name}` : '–';
}

function count(value) {
  return (value ?? 0).toLocaleString('en');
}

/** Browsers hide their own address from pages that may not use a camera themselves. */
function endpoint(candidate) {
  if (!candidate) return '–';
  const address = candidate.address || 'hidden';
  return `${address.includes(':') ? `[${address}]` : address}:${candidate.port} ${candidate.protocol}`;
}

function codecName({ mimeType, sdpFmtpLine = '' }) {
  const name = mimeType.replace(/^video\//, '').replace('H264', 'H.264');
  const [, idc, constraints, level] = /profile-level-id=(..)(..)(..)/i.exec(sdpFmtpLine) ?? [];
  if (!idc) return name;
  const constrained = Number.parseInt(constraints, 16) & 0x40; // constraint_set1_flag
  const profile = { '42': constrained ? 'Constrained Baseline' : 'Baseline', '4d': 'Main', '64': 'High' }[idc.toLowerCase()];
  return `${name} ${profile ?? `profile ${idc}`} ${(Number.parseInt(level, 16) / 10).toFixed(1)}`;
}

/** The panel: says how the stream fares and fills its lists once a second while it is shown. */
export class StatsPanel {
  #root;
  #stats;
  #samples = []; // the newest at the end
  #timer = null;

  /**
   * @param {HTMLElement} root holds a `.verdict`, a `dl`, and a `details` with another
   * @param {() => Promise<Map>} stats in the manner of `getStats`
   */
  constructor(root, stats) {
    this.#root = root;
    this.#stats = stats;
  }

  show() {
    this.hide();
    this.#timer = setInterval(() => this.#update(), 1000);
    this.#update();
  }

  hide() {
    clearInterval(this.#timer);
    this.#samples = [];
  }

  async #update() {
    const now = sample(await this.#stats());
    const before = this.#samples.at(-1) ?? null;
    this.#root.querySelector('.none').hidden = now !== null;
    for (const part of this.#root.querySelectorAll('.verdict, dl, details')) part.hidden = now === null;
    const [brief, details] = this.#root.querySelectorAll('dl');
    // Images have other figures than a session.
    if (Boolean(now?.images) !== Boolean(before?.images)) {
      this.#samples = [];
      brief.replaceChildren();
      details.replaceChildren();
    }
    if (!now) return;
    this.#judge(verdict(now, this.#samples[0]));
    for (const [key, label, text, isDetail] of rows(now, before)) {
      cell(isDetail ? details : brief, key, label).textContent = text;
    }
    this.#samples = [...this.#samples, now].slice(-SPAN);
  }

  /** Only what changed is written: the same words again would be read out again. */
  #judge({ level, text }) {
    const element = this.#root.querySelector('.verdict');
    element.dataset.level = level;
    if (element.textContent !== text) element.textContent = text;
  }
}

/** The `<dd>` for `key`, made when first needed. */
function cell(list, key, label) {
  const found = list.querySelector(`[data-stat="${key}"]`);
  if (found) return found;
  const term = document.createElement('dt');
  term.textContent = label;
  const value = document.createElement('dd');
  value.dataset.stat = key;
  list.append(term, value);
  return value;
}
