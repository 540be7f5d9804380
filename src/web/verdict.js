// What the figures of a session mean, for people. Pure; samples are those of stats.js.

const MUCH_LOSS = 0.05;
const SOME_LOSS = 0.01;
const MANY_DROPPED = 0.1;
const LATE_SECONDS = 0.5;

/** How the stream fares between two samples, as `{level, text}`; `level` is `good`, `fair`, `poor`, or `wait`. */
export function verdict(now, before) {
  if (now.images) return { level: 'fair', text: 'Images instead of video' };
  if (before?.video?.id !== now.video.id) return { level: 'wait', text: 'Measuring…' };
  const delta = (key) => (now.video[key] ?? 0) - (before.video[key] ?? 0);
  const decoded = delta('framesDecoded');
  const dropped = delta('framesDropped');
  const lost = Math.max(0, delta('packetsLost'));
  const loss = lost / (lost + delta('packetsReceived')) || 0;
  if (decoded === 0) return { level: 'poor', text: 'No new pictures arrive' };
  if (loss > MUCH_LOSS) return { level: 'poor', text: 'The network loses many packets' };
  if (dropped > MANY_DROPPED * (decoded + dropped)) return { level: 'poor', text: 'This device is too slow for the video' };
  if (delta('freezeCount') > 0) return { level: 'fair', text: 'The picture freezes at times' };
  if (loss > SOME_LOSS) return { level: 'fair', text: 'The network loses some packets' };
  if ((delay(now, before) ?? 0) > LATE_SECONDS) return { level: 'fair', text: 'The picture is delayed' };
  return { level: 'good', text: 'Good' };
}

/** Seconds that network, buffering and decoding take; null while they are not known. The camera's own delay is not in it. */
export function delay(now, before) {
  if (!now.video || before?.video?.id !== now.video.id) return null;
  const delta = (key) => now.video[key] - before.video[key];
  const buffered = delta('jitterBufferDelay') / delta('jitterBufferEmittedCount');
  const decoding = delta('totalDecodeTime') / delta('framesDecoded');
  const sum = now.roundTrip / 2 + buffered + decoding;
  return Number.isFinite(sum) ? sum : null;
}

/** The same in words. */
export function spokenDelay(seconds) {
  if (seconds === null) return '–';
  if (seconds < 0.1) return 'less than 0.1\u00a0s';
  return `about ${seconds.toFixed(1)}\u00a0s`;
}
