// workers: rules that the kernel has, compared with those that were written last. Pure.

import type { RulesState } from '../engine/network-ports.ts';

/** Both as a job read them back: null is no table, undefined that none was written yet. */
export function compareRules(written: string | null | undefined, seen: string | null): RulesState {
  if (written === seen) return 'right';
  return seen === null ? 'missing' : 'changed';
}
