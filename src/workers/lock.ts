// workers: one daemon for each home.

import { join } from 'node:path';
import { native } from './native.ts';

export interface Lock {
  release(): void;
}

/** Throws when another daemon has the lock, and names it. The lock ends with the process at the latest. */
export function acquireLock(home: string): Lock {
  const result = native.lockFile(join(home, 'volantd.lock'));
  if ('fd' in result) return { release: () => native.closeFd(result.fd) };
  const who = result.heldBy === null ? 'another volantd' : `volantd with pid ${result.heldBy}`;
  throw new Error(`${who} serves ${home} already`);
}
