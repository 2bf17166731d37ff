// cli: a line on standard error that shows that something is waited for. Only on a terminal.

import type { Writable } from 'node:stream';
import type { Terminal } from './streams.ts';

/** Nothing is shown for what is done sooner. */
const SILENT_MS = 300;
const REDRAW_MS = 200;
const ERASE_LINE = '\r\x1b[K';

export async function withProgress<T>(
  stream: Writable & Terminal,
  what: string,
  work: Promise<T>,
): Promise<T> {
  if (stream.isTTY !== true) return work;
  const startedMs = performance.now();
  let drawn = false;
  const timer = setInterval(() => {
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs < SILENT_MS) return;
    stream.write(`${ERASE_LINE}${what} ... ${(elapsedMs / 1000).toFixed(1)} s`);
    drawn = true;
  }, REDRAW_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (drawn) stream.write(ERASE_LINE);
  }
}
