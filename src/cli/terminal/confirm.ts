// cli, terminal: asks a question that must be answered with yes.

import { createInterface } from 'node:readline';
import type { Streams } from './streams.ts';

/** Whether a person can read the question and answer it. */
export function canAsk({ stdin, stderr }: Streams): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** Anything but `y` or `yes` is no; so is the end of the input. */
export async function confirm({ stdin, stderr }: Streams, question: string): Promise<boolean> {
  stderr.write(`${question} [y/N] `);
  // Not as a terminal: Ctrl-C stays a signal.
  const lines = createInterface({ input: stdin, terminal: false });
  try {
    for await (const line of lines) return /^\s*y(es)?\s*$/i.test(line);
    return false;
  } finally {
    lines.close();
  }
}
