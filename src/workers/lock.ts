// workers: one daemon for each home.

import { join } from 'node:path';
import { native } from './native.ts';

export interface Lock {
  release(): void;
}

/** Another daemon serves this home; trying again changes nothing. */
export class HomeInUse extends Error {
  override readonly name = 'HomeInUse';
}

/** Throws HomeInUse when another daemon has the lock, and names it. The lock ends with the process at the latest. */
export function acquireLock(home: string): Lock {
  const result = native.lockFile(join(home, 'volantd.lock'));
  if ('fd' in result) return { release: () => native.closeFd(result.fd) };
  const who = result.heldBy === null ? 'another volantd' : `volantd with pid ${result.heldBy}`;
  throw new HomeInUse(`${who} serves ${home} already`);
}
