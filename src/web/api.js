// The daemon's URLs, relative to the page so that it also works below a path prefix, and its JSON API.

import { authorization } from './token.js';
import { request } from './whep.js';

const TIMEOUT_MS = 4000;

/** The stream this page is about; empty on the front page. */
export function streamInPath() {
  return location.pathname.split('/').pop();
}

/** A stream's page; the front page, if the name is empty. */
export function pageUrl(name) {
  return resolve(name || '.').href;
}

/** `fetch` with what proves the request; rejects with a `WhepError`. */
export function send(url, init = {}) {
  return request(url, { ...init, headers: { ...authorization(), ...init.headers } });
}

export function whepUrl(name) {
  return resolve(`${name}/whep`);
}

/** The stream's pictures as JPEG images, as they are made. */
export function mjpegUrl(name) {
  return resolve(`${name}/mjpeg`);
}

/** One of them. */
export function jpegUrl(name) {
  return resolve(`${name}/jpeg`);
}

/** What the server knows of a session, by the session's URL; `url` is where it says so. */
export async function getDoctor(session) {
  const path = `api/sessions/${new URL(session).pathname.split('/').pop()}/doctor`;
  return { ...await getJson(path), url: resolve(path).href };
}

/** Every stream that may be watched. Rejects with a `WhepError`, as `getStream` does. */
export async function listStreams() {
  return (await getJson('api/streams')).streams;
}

/** The same for whoever has this token, which nothing keeps. */
export async function listStreamsWith(token) {
  return (await getJson('api/streams', { headers: { authorization: `Bearer ${token}` } })).streams;
}

/** The state of one stream; a `not_found` error if there is none of that name. */
export function getStream(name) {
  return getJson(`api/streams/${name}`);
}

/** The controls of a stream's camera, as `{camera, controls}`. */
export function getControls(name) {
  return getJson(`api/streams/${name}/controls`);
}

/** Sets controls by name, all or none; null stands for a control's default. What they are then. */
export function setControls(name, values) {
  const headers = { 'content-type': 'application/json' };
  return getJson(`api/streams/${name}/controls`, { method: 'PUT', headers, body: JSON.stringify(values) });
}

async function getJson(path, init = {}) {
  // Without a limit a request to a host that swallows packets would hang for minutes, and nothing be said meanwhile.
  const aborter = new AbortController();
  const timer = setTimeout(() => aborter.abort(), TIMEOUT_MS);
  try {
    const response = await send(resolve(path), { ...init, cache: 'no-store', signal: aborter.signal });
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

/** The front page and a stream's page lie in one folder, so one base serves both. */
function resolve(path) {
  return new URL(path, new URL('.', location.href));
}
