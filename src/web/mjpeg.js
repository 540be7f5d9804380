// JPEG images over plain HTTP: read out of a reply without an end, or asked for one by one.

import { send } from './api.js';
import { WhepError } from './whep.js';

const NOT_IMAGES = 'The server sent something other than images.';
const LONGEST_HEAD = 1024;

/** Each image of a `multipart/x-mixed-replace` reply as a `Blob`, until `signal` aborts. Rejects with a `WhepError`. */
export async function* images(url, signal) {
  const response = await send(url, { cache: 'no-store', signal });
  const bytes = new Bytes(response.body.getReader());
  for (;;) {
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(await bytes.head())?.[1];
    if (length === undefined) throw new WhepError('refused', NOT_IMAGES);
    yield new Blob([await bytes.take(Number(length))], { type: 'image/jpeg' });
  }
}

/** The newest image as a `Blob`, again and again with a pause of so many milliseconds; else as `images`. */
export async function* stills(url, pause, signal) {
  while (!signal.aborted) {
    const response = await send(url, { cache: 'no-store', signal });
    yield await response.blob();
    await new Promise((resolve) => { setTimeout(resolve, pause); });
  }
}

/** What a reader brings, in other portions than it brings it. */
class Bytes {
  #reader;
  #held = new Uint8Array();

  constructor(reader) {
    this.#reader = reader;
  }

  /** All up to the next empty line, with it. */
  async head() {
    for (;;) {
      const text = new TextDecoder().decode(this.#held.subarray(0, LONGEST_HEAD));
      const end = text.indexOf('\r\n\r\n');
      if (end >= 0) return new TextDecoder().decode(await this.take(end + 4));
      if (this.#held.length > LONGEST_HEAD) throw new WhepError('refused', NOT_IMAGES);
      await this.#more();
    }
  }

  async take(length) {
    while (this.#held.length < length) await this.#more();
    const taken = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return taken;
  }

  async #more() {
    const { done, value } = await this.#reader.read().catch(() => ({ done: true }));
    if (done) throw new WhepError('lost', 'The images have ended.');
    const joined = new Uint8Array(this.#held.length + value.length);
    joined.set(this.#held);
    joined.set(value, this.#held.length);
    this.#held = joined;
  }
}
