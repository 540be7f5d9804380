// The statistics of a session: one `getStats` report and the one before it become rows for people to read.

import { wayName } from './words.js';

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

/** `[[key, label, text], ...]`; rates are between `before`, which may be null, and `now`. */
export function rows(now, before) {
  if (now.images) return rowsOfImages(now.images, before?.images ?? {});
  const { video, codec } = now;
  const since = before?.video.id === video.id ? before.video : {};
  const delta = (key) => video[key] - since[key];
  const seconds = delta('timestamp') / 1000;
  const lost = Math.max(0, video.packetsLost);

  return [
    ['way', 'Connection', wayName(wayOf(now))],
    ['size', 'Picture', video.frameWidth ? `${video.frameWidth} × ${video.frameHeight}` : '–'],
    ['fps', 'Frame rate', unit(delta('framesDecoded') / seconds, 1, 'fps')],
    ['bitrate', 'Bitrate', unit((delta('bytesReceived') * 8) / seconds / 1e6, 2, 'Mbit/s')],
    ['lost', 'Packets lost', `${count(lost)} (${unit((100 * lost) / (lost + video.packetsReceived), 2, '%')})`],
    ['repair', 'Asked again', `${count(video.nackCount)} NACK, ${count(video.pliCount)} PLI`],
    ['rtt', 'Round trip', unit(now.roundTrip * 1000, 1, 'ms')],
    ['jitter', 'Jitter buffer', unit((1000 * delta('jitterBufferDelay')) / delta('jitterBufferEmittedCount'), 0, 'ms')],
    ['decode', 'Decoding', unit((1000 * delta('totalDecodeTime')) / delta('framesDecoded'), 1, 'ms per frame')],
    ['frames', 'Frames', `${count(video.framesDecoded)} decoded, ${count(video.framesDropped)} dropped`],
    ['codec', 'Codec', codec ? codecName(codec) : '–'],
    ['local', 'This side', endpoint(now.local)],
    ['remote', 'Server', endpoint(now.remote)],
    ['viewers', 'Watching', now.viewers === undefined ? '–' : count(now.viewers)],
  ];
}

function rowsOfImages(now, before) {
  const delta = (key) => now[key] - before[key];
  const seconds = delta('timestamp') / 1000;
  return [
    ['way', 'Connection', wayName('mjpeg')],
    ['size', 'Picture', now.width ? `${now.width} × ${now.height}` : '–'],
    ['fps', 'Frame rate', unit(delta('images') / seconds, 1, 'fps')],
    ['bitrate', 'Bitrate', unit((delta('bytes') * 8) / seconds / 1e6, 2, 'Mbit/s')],
    ['frames', 'Frames', `${count(now.images)} decoded`],
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

/** The overlay: fills the `<dl>` once a second while it is shown. */
export class StatsPanel {
  #root;
  #stats;
  #onshown;
  #before = null;
  #timer = null;

  /**
   * @param {HTMLElement} root hidden at first; holds the `dl`
   * @param {() => Promise<Map>} stats in the manner of `getStats`
   * @param {(shown: boolean) => void} onshown
   */
  constructor(root, stats, onshown) {
    this.#root = root;
    this.#stats = stats;
    this.#onshown = onshown;
  }

  get shown() {
    return !this.#root.hidden;
  }

  toggle(shown = !this.shown) {
    this.#root.hidden = !shown;
    clearInterval(this.#timer);
    this.#before = null;
    this.#onshown(shown);
    if (!shown) return;
    this.#timer = setInterval(() => this.#update(), 1000);
    this.#update();
  }

  async #update() {
    const now = sample(await this.#stats());
    const list = this.#root.querySelector('dl');
    this.#root.querySelector('.none').hidden = now !== null;
    list.hidden = now === null;
    // Images have other figures than a session.
    if (Boolean(now?.images) !== Boolean(this.#before?.images)) list.replaceChildren();
    if (now) {
      for (const [key, label, text] of rows(now, this.#before)) cell(list, key, label).textContent = text;
    }
    this.#before = now;
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
