// cli: what is shown on standard error while something is waited for: on a terminal a line with the time,
// and everywhere how far downloads are.

import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { Events } from '../client/events.ts';
import type { Terminal } from './streams.ts';

/** Nothing is shown for what is done sooner. */
const SILENT_MS = 300;
const REDRAW_MS = 200;
/** Most is done before; what takes longer may be waiting for an image. */
const FOLLOW_AFTER_MS = 1_000;
const ERASE_LINE = '\r\x1b[K';

/** The name of the VM or the deployment whose images may have to come first, and where that is told. */
export interface WaitsForMedia {
  readonly events: Events;
  readonly name: string;
}

export async function withProgress<T>(
  stream: Writable & Terminal,
  what: string,
  work: Promise<T>,
  media?: WaitsForMedia,
): Promise<T> {
  const done = new AbortController();
  const line = stream.isTTY === true ? new WaitingLine(stream, what) : null;
  if (media !== undefined) {
    const tell = (news: string) =>
      line === null ? stream.write(`${news}\n`) : line.setDetail(news);
    // Only for the eyes: what is waited for says itself whether it succeeded.
    follow(media, done.signal, tell).catch(() => undefined);
  }
  try {
    return await work;
  } finally {
    done.abort();
    line?.erase();
  }
}

async function follow(
  { events, name }: WaitsForMedia,
  signal: AbortSignal,
  tell: (news: string) => void,
): Promise<void> {
  await pause(FOLLOW_AFTER_MS, undefined, { signal });
  const type = ['MEDIA_DOWNLOADING', 'MEDIA_READY'];
  for await (const event of events.all({ type, signal })) {
    if (event.name !== name && event.deployment !== name) continue;
    const what = event.type === 'MEDIA_READY' ? 'is there:' : 'downloads';
    tell(`${event.name} ${what} ${event.message ?? ''}`);
  }
}

class WaitingLine {
  readonly #stream: Writable;
  readonly #timer: NodeJS.Timeout;
  #detail = '';
  #drawn = false;

  constructor(stream: Writable, what: string) {
    this.#stream = stream;
    const startedMs = performance.now();
    this.#timer = setInterval(() => {
      const elapsedMs = performance.now() - startedMs;
      if (elapsedMs < SILENT_MS) return;
      const seconds = (elapsedMs / 1000).toFixed(1);
      stream.write(`${ERASE_LINE}${what} ... ${seconds} s  ${this.#detail}`.trimEnd());
      this.#drawn = true;
    }, REDRAW_MS);
  }

  setDetail(text: string): void {
    this.#detail = text;
  }

  erase(): void {
    clearInterval(this.#timer);
    if (this.#drawn) this.#stream.write(ERASE_LINE);
  }
}
