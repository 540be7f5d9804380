// The server-sent events of a session (draft-ietf-wish-whep-02, 4.9.1). Read by `fetch`, since `EventSource` can't send
// a token. Each reader holds a connection, of which browsers have six for a server: for as long as it is of use.

import { send } from './api.js';

/**
 * Calls `onevent(name, data)` for each event of these names, until `signal` aborts or the session is over. Rejects with a
 * `WhepError` if there are no events to be had.
 */
export async function listen(url, names, onevent, signal) {
  const made = await send(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(names),
    signal,
  });
  const response = await send(new URL(made.headers.get('location'), made.url), { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = '';
  for (;;) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const events = (held + value).split('\n\n');
    held = events.pop();
    for (const event of events) {
      const name = /^event: (.*)$/m.exec(event)?.[1];
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (name && data) onevent(name, JSON.parse(data));
    }
  }
}
