// A WHEP viewer: one HTTP exchange, then video over WebRTC. Needs no other file and no document, so it can be
// copied into any page:
//
//   const client = new WhepClient('https://camera.lan/garden/whep', { onstate: (state) => console.log(state) });
//   try {
//     video.srcObject = await client.connect();      // resolves once media can flow
//   } catch (error) {
//     console.log(error.kind, error.message);        // a WhepError, see there
//   }
//   client.restart();                                // looks for another way, after a change of networks
//   client.close();                                  // ends the session on the server as well
//
// A client is good for one session. To connect again, make another one.

/**
 * Why a session could not be set up, or an HTTP request failed. `message` is a sentence for people, the server's own
 * where it gave one. `kind` is one of
 * - `offline`: nobody answers over HTTP
 * - `locked`, `forbidden`: the server answered 401 or 403: it needs a token, or another one
 * - `not_found`, `down`, `busy`, `refused`: the server answered 404, 409, 429 or 503, or another error (`status`)
 * - `unsupported`: this browser has no WebRTC, or lacks the codec asked for
 * - `unreachable`: the server answered, but its media port does not; `candidates` says which addresses it offered, and
 *   `pairs` what was tried
 * - `handshake`: its media port does answer, yet encryption could not be agreed
 * - `closed`: `close()` was called meanwhile
 */
export class WhepError extends Error {
  constructor(kind, message, extra = {}) {
    super(message);
    this.name = 'WhepError';
    this.kind = kind;
    /** HTTP status, where there was an answer. */
    this.status = extra.status ?? null;
    /** Seconds the server asks to wait before the next attempt. */
    this.retryAfter = extra.retryAfter ?? null;
    /** `[{address, port, protocol}]` out of the server's answer. */
    this.candidates = extra.candidates ?? [];
    /** Whether the server knows the token that was sent, and does not take it (RFC 6750, 3.1). */
    this.isTokenWrong = extra.isTokenWrong ?? false;
    /** See `pairs()`; of the moment when it failed. Filled in by `connect()`, as is the next. */
    this.pairs = [];
    /** URL of the session that could not be set up, if there was one. */
    this.session = null;
  }
}

/** `fetch`, with everything but a 2xx turned into a `WhepError`. */
export async function request(url, init = {}) {
  let response;
  try {
    response = await fetch(url, init);
  } catch {
    throw new WhepError('offline', `${new URL(url, globalThis.location?.href).host} does not answer.`);
  }
  if (response.ok) return response;

  const { status } = response;
  const said = await problem(response);
  const retryAfter = Number.parseFloat(response.headers.get('retry-after')) || null;
  // A gateway's 502 and 504 speak of the server behind it.
  const kind = { 401: 'locked', 403: 'forbidden', 404: 'not_found', 409: 'down', 429: 'busy', 502: 'offline', 503: 'busy', 504: 'offline' }[status] ?? 'refused';
  const isTokenWrong = /error="invalid_token"/.test(response.headers.get('www-authenticate') ?? '');
  throw new WhepError(kind, said || `The server answered ${status} ${response.statusText}`.trim(), { status, retryAfter, isTokenWrong });
}

/** The sentence in an `application/problem+json` body, if it is one. */
async function problem(response) {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return '';
  const { title = '', detail = '' } = await response.json().catch(() => ({}));
  return detail || title;
}

export class WhepClient {
  #url;
  #options;
  #pc = null;
  #session = null;
  #events = null;
  #restart = null;
  #state = 'new';
  #fail = () => {};

  /**
   * @param {string|URL} url the WHEP endpoint; may be relative to the page
   * @param {object} [options]
   * @param {(state: string) => void} [options.onstate] called with `connecting`, `connected`, `disconnected` (may come
   *   back by itself), `failed` (the other side is gone; `close()` is still to be called), `closed` (by `close()`, or
   *   because `connect()` failed)
   * @param {boolean} [options.audio] ask for audio as well
   * @param {string} [options.codec] refuse to connect unless this browser can receive it, e.g. `H264`
   * @param {number} [options.timeout] milliseconds `connect()` may take
   * @param {HeadersInit} [options.headers] sent along with every request, e.g. `Authorization`
   * @param {RTCIceServer[]} [options.iceServers] besides those that the server names; none by default: a server with a
   *   reachable port needs none
   */
  constructor(url, options = {}) {
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = { audio: false, timeout: 10_000, headers: {}, iceServers: [], onstate() {}, ...options };
  }

  /** `new`, or what `onstate` was told last. */
  get state() {
    return this.#state;
  }

  /** URL of the session on the server, once there is one. Whoever knows it can end it. */
  get session() {
    return this.#session;
  }

  /** URL where the session's server-sent events are to be asked for, if there are such (draft-ietf-wish-whep-02, 4.9.1). */
  get events() {
    return this.#events;
  }

  /** The addresses that the server offered for media, see `candidates()`; none before its answer. */
  get offered() {
    return candidates(this.#pc?.remoteDescription?.sdp ?? '');
  }

  /** Sets the session up. Resolves with its `MediaStream` once connected, rejects with a `WhepError`. */
  async connect() {
    if (!globalThis.RTCPeerConnection) throw new WhepError('unsupported', 'This browser has no WebRTC.');
    const deadline = new AbortController();
    const failed = new Promise((_, reject) => { this.#fail = reject; });
    const timer = setTimeout(() => {
      deadline.abort();
      this.#fail(this.#timedOut());
    }, this.#options.timeout);

    try {
      this.#enter('connecting');
      return await Promise.race([this.#negotiate(deadline.signal), failed]);
    } catch (cause) {
      const unusable = () => new WhepError('refused', `The answer cannot be used: ${cause.message}`);
      const error = cause instanceof WhepError ? cause : unusable();
      error.session = this.#session;
      if (error.kind === 'unreachable' || error.kind === 'handshake') error.pairs = pairs(await this.stats());
      this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What the browser knows of this session; empty before `connect()` and after `close()`. */
  async stats() {
    return this.#pc ? this.#pc.getStats() : new Map();
  }

  /**
   * Looks for another way to the server, in the same session: for when the network changed, or is `disconnected`. Media
   * goes on meanwhile, if it can. Resolves with whether the server took part; the state tells whether it helped.
   */
  restart() {
    this.#restart ??= this.#restartIce().catch(() => false).finally(() => { this.#restart = null; });
    return this.#restart;
  }

  /** Ends the session here and on the server. Safe at any time, also while the page is being left. */
  close() {
    if (this.#state === 'closed') return;
    this.#fail(new WhepError('closed', 'The session was closed.'));
    this.#pc?.close();
    this.#pc = null;
    this.#delete();
    this.#enter('closed');
  }

  async #negotiate(signal) {
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: this.#options.iceServers });
    this.#pc = pc;
    const media = new MediaStream();
    const connected = new Promise((resolve) => this.#follow(pc, media, resolve));

    const kinds = this.#options.audio ? ['video', 'audio'] : ['video'];
    for (const kind of kinds) preferLowDelay(pc.addTransceiver(kind, { direction: 'recvonly' }).receiver);

    const offer = await pc.createOffer();
    const { codec } = this.#options;
    if (codec && !offer.sdp.includes(` ${codec}/`)) {
      throw new WhepError('unsupported', `This browser cannot receive ${codec} video over WebRTC.`);
    }
    // Sent without candidates: a server with a reachable port learns this side's address from the first packet, and
    // gathering can take seconds. It begins after the answer, which names the servers that it may need.
    const answer = await this.#post(offer.sdp, signal);
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    await connected;
    return media;
  }

  /** RFC 9725, 4.3.3, which draft-ietf-wish-whep-03, 4.4.3 takes over. */
  async #restartIce() {
    const pc = this.#pc;
    if (!pc?.currentRemoteDescription || !this.#session) return false;
    const offer = await pc.createOffer({ iceRestart: true });
    await pc.setLocalDescription(offer);
    try {
      const response = await request(this.#session, {
        method: 'PATCH',
        headers: {
          ...this.#options.headers,
          'content-type': 'application/trickle-ice-sdpfrag',
          'if-match': '*',
        },
        body: fragment(offer.sdp),
      });
      const sdp = renewed(pc.currentRemoteDescription.sdp, await response.text());
      await pc.setRemoteDescription({ type: 'answer', sdp });
      return true;
    } catch (error) {
      if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({ type: 'rollback' });
      if (error.kind === 'not_found') this.#lost();
      throw error;
    }
  }

  /** Watches both the ICE and the DTLS side of `pc`. */
  #follow(pc, media, connected) {
    pc.ontrack = ({ track, receiver }) => {
      media.addTrack(track);
      // A server that shuts down says so over DTLS; `connectionState` stays "connected" through that.
      const { transport } = receiver;
      if (transport) transport.onstatechange = () => { if (transport.state === 'closed') this.#lost(); };
    };
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'failed') this.#lost();
      if (pc.connectionState === 'connected') connected();
      if (['connected', 'disconnected'].includes(pc.connectionState)) this.#enter(pc.connectionState);
    };
  }

  async #post(sdp, signal) {
    const response = await request(this.#url, {
      method: 'POST',
      headers: { ...this.#options.headers, 'content-type': 'application/sdp' },
      body: sdp,
      signal,
    });
    const location = response.headers.get('location');
    this.#session = location && new URL(location, response.url).href;
    this.#followLinks(response);
    // `close()` had no session to end as long as this answer was under way.
    if (this.#state === 'closed') this.#delete();
    return response.text();
  }

  /** What the answer links to: STUN and TURN servers (RFC 9725, 4.6), and the session's events. */
  #followLinks(response) {
    const found = links(response.headers.get('link') ?? '');
    const servers = found.filter(({ rel }) => rel === 'ice-server').map(({ target, username, credential }) => (
      username ? { urls: target, username, credential } : { urls: target }
    ));
    if (servers.length && this.#state !== 'closed') {
      const iceServers = [...this.#options.iceServers, ...servers];
      this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers });
    }
    const events = found.find(({ rel }) => rel === 'urn:ietf:params:whep:ext:core:server-sent-events');
    this.#events = events ? new URL(events.target, response.url).href : null;
  }

  #delete() {
    if (!this.#session) return;
    // `keepalive` lets the request outlive the page. Nothing is left to do when it fails: the server drops silent viewers.
    fetch(this.#session, { method: 'DELETE', headers: this.#options.headers, keepalive: true }).catch(() => {});
    this.#session = null;
  }

  #lost() {
    this.#fail(this.#timedOut());
    this.#enter('failed');
  }

  #enter(state) {
    const over = this.#state === 'closed' || (this.#state === 'failed' && state !== 'closed');
    if (over || state === this.#state) return;
    this.#state = state;
    this.#options.onstate(state);
  }

  /** The reason why there is no connection, from how far it came. */
  #timedOut() {
    const answer = this.#pc?.remoteDescription;
    if (!answer) return new WhepError('offline', `${this.#url.host} does not answer.`);
    if (['connected', 'completed'].includes(this.#pc.iceConnectionState)) {
      return new WhepError('handshake', 'The media connection was found but could not be encrypted.');
    }
    return new WhepError('unreachable', 'No media packets get through.', { candidates: candidates(answer.sdp) });
  }
}

/** A live picture is worth more than an even one: the browser is asked not to hold frames back. */
function preferLowDelay(receiver) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
  else if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = 0;
}

/** The addresses a session description offers, each once, as `[{address, port, protocol}]`. */
export function candidates(sdp) {
  const found = new Map();
  // a=candidate:foundation component protocol priority address port typ ...
  for (const [, protocol, address, port] of sdp.matchAll(/^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+)/gm)) {
    found.set(`${protocol} ${address} ${port}`, { address, port: Number(port), protocol: protocol.toLowerCase() });
  }
  return [...found.values()];
}

/**
 * The ways that a browser tried, out of its report: `[{protocol, address, port, state, sent, answered}]`, the server's end
 * of each with the checks that went there and the answers that came. `protocol` and whether it is a `relay` are of this
 * side.
 */
export function pairs(report) {
  const found = [...report.values()].filter(({ type }) => type === 'candidate-pair');
  return found.map((pair) => {
    const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
    return {
      protocol: local?.protocol ?? remote?.protocol ?? '',
      relay: local?.candidateType === 'relay',
      address: remote?.address ?? '',
      port: remote?.port ?? 0,
      state: pair.state,
      chosen: pair.nominated === true && pair.state === 'succeeded',
      sent: pair.requestsSent ?? 0,
      answered: pair.responsesReceived ?? 0,
    };
  });
}

/** The links of a `Link` header (RFC 8288, 3), each as its `target` and parameters. */
export function links(header) {
  const found = [];
  // A target, and as many parameters as follow it; a quoted value may hold anything, with a backslash before what would end it.
  for (const [, target, rest] of header.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+=(?:"(?:[^"\\]|\\.)*"|[^\s",;]*))*)/g)) {
    const link = { target };
    for (const [, name, quoted, bare] of rest.matchAll(/([\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))/g)) {
      link[name.toLowerCase()] = quoted === undefined ? bare : quoted.replace(/\\(.)/g, '$1');
    }
    found.push(link);
  }
  return found;
}

const LINES = { ufrag: /^a=ice-ufrag:.*$/m, password: /^a=ice-pwd:.*$/m, media: /^m=.*$/m, mid: /^a=mid:.*$/m };

/** What a restart tells the server, out of a new offer (RFC 8840, 9). */
function fragment(sdp) {
  const { ufrag, password, media, mid } = LINES;
  return [ufrag, password, media, mid].map((line) => line.exec(sdp)?.[0]).filter(Boolean).join('\r\n') + '\r\n';
}

/** The last answer, as the server would give it after a restart. */
function renewed(answer, told) {
  const fresh = (line) => line.exec(told)?.[0] ?? '';
  const everywhere = (line) => new RegExp(line.source, 'gm');
  const offered = told.match(/^a=(candidate:.*|end-of-candidates)$/gm) ?? [];
  return answer
    .replace(/^a=(candidate:.*|end-of-candidates)\r\n/gm, '')
    .replace(everywhere(LINES.password), fresh(LINES.password))
    .replace(everywhere(LINES.ufrag), fresh(LINES.ufrag))
    .replace(LINES.password, (line) => [line, ...offered].join('\r\n'));
}
