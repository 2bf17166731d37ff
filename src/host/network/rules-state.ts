// host, network: compares the kernel's rules with those that were written last. Pure.

import type { RulesState } from '../../engine/ports/network-ports.ts';

/** Compares two digests that a job read back. null: no table. undefined: none was written yet. */
export function compareRules(written: string | null | undefined, seen: string | null): RulesState {
  if (written === seen) return 'right';
  return seen === null ? 'missing' : 'changed';
}
