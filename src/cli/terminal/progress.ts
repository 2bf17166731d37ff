// cli, terminal: progress on standard error during a wait: a line with the elapsed time if it is a terminal, and the
// progress of downloads in every case.

import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { Events } from '../../client/events.ts';
import type { Terminal } from './streams.ts';

/** Nothing is shown for shorter waits. */
const SILENT_MS = 300;
const REDRAW_MS = 200;
/** Most operations are complete earlier; a longer one may wait for an image. */
const FOLLOW_AFTER_MS = 1_000;
const ERASE_LINE = '\r\x1b[K';

/** The name of the VM or deployment whose images may be downloaded first, and the client to ask about them. */
export interface WaitsForMedia {
  readonly events: Events;
  readonly name: string;
}

export async function withProgress<T>(
  stream: Writable & Terminal,
  what: string,
  work: Promise<T>,
  media?: WaitsForMedia,
  detail: () => string = () => '',
): Promise<T> {
  const done = new AbortController();
  const line = stream.isTTY === true ? new WaitingLine(stream, what, detail) : null;
  if (media !== undefined) {
    const show = (text: string) =>
      line === null ? stream.write(`${text}\n`) : line.setDetail(text);
    // Only a display: the work itself reports whether it succeeded.
    follow(media, done.signal, show).catch(() => undefined);
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
  show: (text: string) => void,
): Promise<void> {
  await pause(FOLLOW_AFTER_MS, undefined, { signal });
  const type = ['MEDIA_DOWNLOADING', 'MEDIA_READY'];
  for await (const event of events.all({ type, signal })) {
    if (event.name !== name && event.deployment !== name) continue;
    const what = event.type === 'MEDIA_READY' ? 'is there:' : 'downloads';
    show(`${event.name} ${what} ${event.message ?? ''}`);
  }
}

class WaitingLine {
  readonly #stream: Writable;
  readonly #timer: NodeJS.Timeout;
  #detail: () => string;
  #drawn = false;

  constructor(stream: Writable, what: string, detail: () => string) {
    this.#stream = stream;
    this.#detail = detail;
    const startedMs = performance.now();
    this.#timer = setInterval(() => {
      const elapsedMs = performance.now() - startedMs;
      if (elapsedMs < SILENT_MS) return;
      const seconds = (elapsedMs / 1000).toFixed(1);
      stream.write(`${ERASE_LINE}${what} ... ${seconds} s  ${this.#detail()}`.trimEnd());
      this.#drawn = true;
    }, REDRAW_MS);
  }

  setDetail(text: string): void {
    this.#detail = () => text;
  }

  erase(): void {
    clearInterval(this.#timer);
    if (this.#drawn) this.#stream.write(ERASE_LINE);
  }
}
