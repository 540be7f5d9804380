// The token of a page that another site shows in a frame. Browsers keep cookies from such pages, so it goes along with each
// request. It never stays in the address bar.

const IN_LINK = /[?&]token=([\w.~-]+)/;
const BARE = /^[\w.~-]+$/;

let token = null;
let isFromLink = false;

/** Whether another page shows this one. */
export function isFramed() {
  return window.self !== window.top;
}

/** Takes the token out of the address bar, and keeps it for a page in a frame. Elsewhere the server has made it a cookie. */
export function takeToken() {
  const found = IN_LINK.exec(location.search)?.[1];
  isFromLink = Boolean(found);
  if (found) {
    const query = location.search.slice(1).split('&').filter((part) => !part.startsWith('token='));
    history.replaceState(null, '', location.pathname + (query.length ? `?${query.join('&')}` : '') + location.hash);
  }
  if (!isFramed()) return;
  if (found) keepToken(found);
  else token = stored((storage) => storage.getItem(place()));
}

/** Whether the page was opened with a token in its address. */
export function cameByLink() {
  return isFromLink;
}

/** Uses this token from now on; it lasts as long as the tab, where the browser lets a framed page keep anything. */
export function keepToken(value) {
  token = value;
  stored((storage) => storage.setItem(place(), value));
}

/** The headers that prove a request. */
export function authorization() {
  return token ? { authorization: `Bearer ${token}` } : {};
}

/**
 * What somebody pasted: `{token, stream}` of a link, `stream` being empty for the front page, or `{token, stream: null}` of
 * a token by itself; null if the text is neither.
 */
export function pasted(text) {
  const trimmed = text.trim();
  const inLink = IN_LINK.exec(trimmed)?.[1];
  if (inLink) return { token: inLink, stream: trimmed.split('?')[0].split('/').pop() };
  return BARE.test(trimmed) ? { token: trimmed, stream: null } : null;
}

/** Several daemons may share an origin, below different prefixes. */
function place() {
  return `fanlight-token:${new URL('.', location.href).pathname}`;
}

/** Browsers may refuse storage to a framed page: then the token is kept until the page is reloaded. */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}
