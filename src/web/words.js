// What the page says in each state. Pure: errors and API objects in, statuses out.
//
// A status is `{state, title, detail, hint, retryAt}`. `state` becomes `data-state` in the document; the rest is for
// people and may be empty. `camera` names the camera that is down. `slate` is true if the video shows the server's own slate.
// `retryAt` is the time, as of `Date.now()`, of the next attempt, or null. `isMissing` is true if there is no such stream. Where
// nobody may watch, `refusal` says what is wrong with the token that was sent, and `isElsewhere` that it opens other streams.

const RESUMES = 'This page continues by itself as soon as the camera is back.';

const status = (state, title = '', detail = '', hint = '') => ({ state, title, detail, hint, retryAt: null });

export const PLAYING = status('playing', 'Live'); // read out, not shown
export const ASLEEP = status('asleep');
export const CONNECTING = status('connecting', 'Connecting…');
export const WAITING = status('waiting', 'Waiting for the picture…');
export const STARTING = status('waiting', 'The camera is starting…');
export const STALLED = status('stalled', 'The picture has stopped', 'The connection works, but no new pictures arrive.');
export const PAUSED = status('paused', 'Paused');
export const NO_STREAMS = status('unknown', 'There is nothing to watch', 'No camera is configured on this server.');

const WAYS = {
  udp: 'WebRTC over UDP',
  tcp: 'WebRTC over TCP',
  relay: 'WebRTC through a relay',
  mjpeg: 'JPEG images over HTTP',
};

/** How the picture comes, for people. */
export const wayName = (way) => WAYS[way] ?? '–';

/** The same for a small badge; empty where it comes as it should. */
export const wayBadge = (way) => ({ tcp: 'TCP', relay: 'Relay', mjpeg: 'JPEG' }[way] ?? '');

/** Not connected yet: how far it has come, and what is being tried at the addresses that the server `offered`. */
export function trying(isAnswered, offered) {
  const ports = [...new Set(offered.map(({ protocol, port }) => `${protocol.toUpperCase()} port ${port}`))];
  const detail = isAnswered && ports.length > 0
    ? `The server has answered. Trying ${ports.join(', then ')} for the video.`
    : 'The server has not answered yet.';
  return { ...CONNECTING, detail };
}

/** The tab's title for a stream in that state. */
export function titleOf(name, { state }) {
  if (state === 'unknown') return 'Not found – fanlight';
  const wrong = { 'camera-down': 'camera down', offline: 'offline', stalled: 'stopped', unreachable: 'no connection' }[state];
  return wrong ? `${name}: ${wrong}` : name;
}

/** A stream whose camera or encoder has failed, as `/api/streams/{name}` tells it. */
export function cameraDown({ name, error }) {
  return {
    state: 'camera-down',
    camera: name,
    title: error.title,
    detail: sentence(error.detail ?? ''),
    hint: `${sentence(error.cure ?? '')} ${RESUMES}`.trim(),
    retryAt: Date.now() + (error.retry_in_seconds ?? 0) * 1000,
  };
}

/** Why there is no session; `error` is a `WhepError`, or of the kinds `lost` and `frozen` that only `Live` knows. */
export function explain(error) {
  switch (error.kind) {
    case 'lost':
      return status('connecting', 'Reconnecting…');
    case 'frozen':
      return status('stalled', 'No picture arrives', 'The camera is running, but its video does not reach this browser.');
    case 'offline':
      if (!navigator.onLine) return status('offline', 'This device is offline', 'It has no network connection.');
      return status(
        'offline',
        'The camera server is not reachable',
        error.message,
        'Check that fanlight is running, and that this device is on the same network.',
      );
    case 'locked':
      return {
        ...status('locked', 'You need a link to watch', 'Ask the person who runs this camera for one.'),
        refusal: error.isTokenWrong ? sentence(error.message) : '',
      };
    case 'forbidden':
      return { ...status('locked', 'Your link does not open this camera', 'It is valid for other cameras only.'), isElsewhere: true };
    case 'not_found':
      return { ...status('unknown', 'There is no camera at this address', sentences(error.message)[0]), isMissing: true };
    case 'down':
      return status('camera-down', 'The camera is down', sentence(error.message), RESUMES);
    case 'busy':
      return status('busy', 'The server is busy', sentence(error.message));
    case 'unsupported':
      return status(
        'unsupported',
        'This browser cannot play the stream',
        error.message,
        // Firefox comes without H.264, which is why a new one lacks it for some minutes.
        navigator.userAgent.includes('Firefox/')
          ? 'Firefox can play it as soon as it has downloaded its OpenH264 plug-in: see Plugins in about:addons.'
          : 'Use a current version of Chrome, Edge, Firefox or Safari.',
      );
    case 'unreachable':
      return { ...unreachable(error.candidates), ...told(error) };
    case 'handshake':
      return { ...status('unreachable', 'No secure connection', error.message), ...told(error) };
    default:
      return status('refused', 'The server refused the connection', sentence(error.message));
  }
}

/** What both ends know says more than what this one knows. */
function told({ diagnosis }) {
  return diagnosis?.told ? { detail: diagnosis.detail, hint: diagnosis.hint } : {};
}

function unreachable(candidates) {
  if (candidates.length === 0) {
    return status(
      'unreachable',
      'No video gets through',
      'The server offers no address for its video.',
      'Set external_addresses in fanlight’s configuration.',
    );
  }
  // The page came from this host, so its address is the one to look at first.
  const here = candidates.filter(({ address }) => address === location.hostname.replace(/[[\]]/g, ''));
  const tried = here.length ? here : candidates;
  const ports = list(tried.map(({ protocol, port }) => `${protocol.toUpperCase()} port ${port}`));
  const hosts = list(tried.map(({ address }) => address));
  return status(
    'unreachable',
    `Cannot reach ${ports}`,
    `No video arrives from ${hosts}.`,
    `Open ${ports} in the firewall of that machine. If it is behind NAT or in a container, set external_addresses in `
      + 'fanlight’s configuration.',
  );
}

/** "a", "a or b", "a, b or c", "a, b, c or 4 more", each once. */
export function list(items) {
  const unique = [...new Set(items)];
  if (unique.length > 4) unique.splice(3, Infinity, `${unique.length - 3} more`);
  const last = unique.pop();
  return unique.length ? `${unique.join(', ')} or ${last}` : last;
}

/**
 * The daemon's words as they stand on a page: its log and its terminal need neither capitals nor typographic quotes. A
 * name or a key at the beginning (`usb:046d:0825`, `zoom_absolute:`) stays as it is, and so does a line of configuration.
 */
export function sentence(text) {
  const quoted = text
    .replace(/`([^`]*)`/g, '“$1”')
    .replace(/\[[^\]]*\]|(=\s*)?"([^"]*)"/g, (all, key, word) => (word === undefined || key ? all : `“${word}”`))
    .replace(/(\p{L})'(\p{L})/gu, '$1’$2')
    .replace(/(\d) (%|ms|s)(?![\p{L}\d])/gu, '$1\u00a0$2');
  const isWord = /^\p{Ll}[\p{L}’-]*[,;.!?…]*(?=\s|$)/u.test(quoted);
  const begun = isWord ? quoted[0].toUpperCase() + quoted.slice(1) : quoted;
  return begun && begun + (/[.!?…]$/.test(begun) ? '' : '.');
}

/** The parts of a long sentence, each as one of its own; what stands between semicolons is one. */
export function sentences(text) {
  return text.split('; ').map(sentence).filter(Boolean);
}
