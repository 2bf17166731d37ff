// client: parses Server-Sent Events from the bytes of an answer, by the rules of the HTML standard, section 9.2.6. The
// meaning of events is not known here.

import { ConnectionError } from './errors.ts';
import { isConnectionTrouble } from './http.ts';

/** A longer line cannot be an event of the daemon. */
const LINE_CHARS_MAX = 1024 * 1024;

export interface ServerSentEvent {
  /** The last id of the stream; undefined before the first. */
  readonly id: string | undefined;
  readonly type: string;
  readonly data: string;
}

/** Reads until the stream ends. `onActivity` is called for each chunk, including comments. */
export async function* readServerSentEvents(
  body: ReadableStream<Uint8Array>,
  onActivity: () => void,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  const parser = new Parser();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onActivity();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // A reader that stops early must not leave the connection open.
    await reader.cancel().catch(() => undefined);
  }
}

class Parser {
  #rest = '';
  #id: string | undefined;
  #type = '';
  #data: string[] = [];

  push(text: string): ServerSentEvent[] {
    const events: ServerSentEvent[] = [];
    // A CR at the very end may be the first half of a CRLF: it is kept for the next chunk.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LINE_CHARS_MAX) {
      throw new RangeError(
        `A line of the event stream is longer than ${LINE_CHARS_MAX} characters`,
      );
    }
    for (const line of lines) {
      if (line === '') this.#dispatch(events);
      else this.#field(line);
    }
    return events;
  }

  #field(line: string): void {
    const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (name === 'data') this.#data.push(value);
    else if (name === 'event') this.#type = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }

  #dispatch(events: ServerSentEvent[]): void {
    if (this.#data.length > 0) {
      const type = this.#type === '' ? 'message' : this.#type;
      events.push({ id: this.#id, type, data: this.#data.join('\n') });
    }
    this.#type = '';
    this.#data = [];
  }
}

/**
 * The events of an answer. If it breaks, throws the reason of the signal, if that was aborted, or a ConnectionError with this
 * message.
 */
export async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  message: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  try {
    yield* readServerSentEvents(body, () => undefined);
  } catch (error) {
    signal?.throwIfAborted();
    throw isConnectionTrouble(error) ? new ConnectionError(message, error) : error;
  }
}
