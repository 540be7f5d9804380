// Why a connection is as it is, from what both ends know: the server's account of the session, and this browser's.

import { getDoctor } from './api.js';
import { pairs as tried } from './whep.js';
import { list, sentence, sentences } from './words.js';

/** Whether this browser can receive the video at all. */
export function hasH264() {
  const codecs = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs ?? [];
  return codecs.some(({ mimeType }) => mimeType.toLowerCase() === 'video/h264');
}

/** Examines a session that failed with a `WhepError`. */
export async function examineFailure(error) {
  const told = error.session ? await getDoctor(error.session).catch(() => null) : null;
  return { ...judge(error, error.pairs, told), facts: facts(error.pairs, told), told };
}

/** Examines a session that lives, by its URL and what `getStats` says. */
export async function examineSession(session, report) {
  const pairs = tried(report);
  const told = await getDoctor(session).catch(() => null);
  const said = told ?? { sentence: 'the server does not report on this connection', cure: '' };
  return {
    ...spread(said.sentence),
    hint: sentence(said.cure),
    facts: facts(pairs, told),
    told,
  };
}

/** What is the matter, in a sentence with its cure. Pure. */
export function judge(error, pairs, told, hostname = location.hostname) {
  if (!told) return { detail: sentence(error.message), hint: '' };
  const { finding, offered } = told;
  const host = hostname.replace(/[[\]]/g, '');
  if (finding === 'unreachable_address' || finding === 'blocked') {
    const at = list(offered.map(({ address }) => address));
    const isAddress = /^[\d.]+$|:/.test(host);
    // Behind a proxy the server does not know by which address it is reached; the page does.
    if (isAddress && !offered.some(({ address }) => address === host)) {
      return {
        detail: `The server offered only ${at}, which this browser cannot reach; the page came from ${host}.`,
        hint: `Set external_addresses = ["${host}"] under [rtc] in fanlight’s configuration.`,
      };
    }
    const sent = pairs.reduce((sum, pair) => sum + pair.sent, 0);
    if (sent === 0) {
      return {
        detail: `This browser did not try the addresses that the server offered: ${at}.`,
        hint: 'Its settings, an extension or the network may block WebRTC. Firefox does not try loopback addresses.',
      };
    }
    return {
      detail: `This browser sent ${sent} checks to ${at}, but none arrived.`,
      hint: sentence(told.cure),
    };
  }
  if (error.kind === 'frozen' && (finding === 'connected' || finding === 'udp_blocked')) {
    return {
      detail: 'Packets arrive, but this browser decodes no picture from them.',
      hint: 'Reload the page. If that does not help, try another browser, or this one without hardware acceleration.',
    };
  }
  return { ...spread(told.sentence), hint: sentence(told.cure) };
}

/** The server's one sentence: what it begins with counts most, the rest follows in smaller letters. */
function spread(text) {
  const [detail, ...more] = sentences(text);
  return { detail, more: more.join(' ') };
}

/** `[[label, text], ...]` */
function facts(pairs, told) {
  const lines = [];
  if (told) {
    lines.push(
      ['Offered by the server', told.offered.map(place).join('\n') || 'nothing'],
      ['Checks that reached the server', told.checks.map(arrived).join('\n') || 'none'],
      ['Encryption', encryption(told.handshake)],
    );
    if (told.media) lines.push(['Sent', media(told.media)]);
    if (told.ended) lines.push(['Session ended', told.ended]);
  }
  lines.push(
    ['Checks sent by this browser', pairs.map(sentTo).join('\n') || 'none'],
    ['H.264 in this browser', hasH264() ? 'yes' : 'no'],
  );
  return lines;
}

function place({ protocol, address, port }) {
  return `${protocol.toUpperCase()} ${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function arrived({ from, received, answered, chosen }) {
  return `${place(from)}: ${received} received, ${answered} answered${chosen ? '; in use' : ''}`;
}

function sentTo({ protocol, address, port, sent, answered, state, chosen }) {
  return `${place({ protocol, address, port })}: ${sent} sent, ${answered} answered; ${chosen ? 'in use' : state}`;
}

function encryption({ received, sent, done }) {
  if (done) return 'established';
  return received + sent ? `not established; the server received ${received} datagrams and sent ${sent}` : 'not started';
}

function media({ packets_sent: packets, loss_ratio: loss, round_trip_seconds: roundTrip }) {
  const parts = [`${packets.toLocaleString('en')} packets`];
  if (loss !== null) parts.push(`${(100 * loss).toFixed(1)} % lost recently`);
  if (roundTrip !== null) parts.push(`${(1000 * roundTrip).toFixed(1)} ms round trip`);
  return parts.join(', ');
}
