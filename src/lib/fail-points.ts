// lib: fail points: named places where a test can let the daemon end or fail. They are off unless VOLANT_FAIL_POINT
// names one.

import { VolantError } from './errors.ts';

/**
 * kill: the process ends as by kill -9. tell: the name is written to standard error; the name `*` means every place.
 * The others are errors that the place throws.
 */
export const FAIL_ACTIONS = ['kill', 'tell', 'EIO', 'ENOSPC', 'EMFILE', 'ETIMEDOUT'] as const;

export interface FailPoint {
  readonly name: string;
  readonly action: (typeof FAIL_ACTIONS)[number];
  /** The first passage of the place, counted from 1, at which it acts. */
  readonly from: number;
  /** Number of consecutive passages at which it acts. */
  readonly times: number;
}

const RULE = `NAME=ACTION[@FROM[xTIMES]] with one of ${FAIL_ACTIONS.join(', ')}`;

/** Parses a fail point. null for an empty text; `problem` is a sentence for an invalid one. */
export function parseFailPoint(text: string): FailPoint | null | { readonly problem: string } {
  if (text === '') return null;
  const match = /^([\w:.*-]+)=(\w+)(?:@(\d{1,6})(?:x(\d{1,6}))?)?$/.exec(text);
  const action = FAIL_ACTIONS.find((known) => known === match?.[2]);
  if (match === null || action === undefined) return { problem: `must be ${RULE}` };
  return {
    name: match[1] ?? '',
    action,
    from: Number(match[3] ?? 1),
    times: Number(match[4] ?? 1),
  };
}

/** Called with the name of a place at each passage. May throw or not return. */
export type PassFailPoint = (name: string) => void;

/** Returns the function to call at each place. It counts passages in its own thread only. */
export function failPoints(point: FailPoint | null): PassFailPoint {
  if (point === null) return () => undefined;
  let passed = 0;
  return (name) => {
    if (point.name !== name && point.name !== '*') return;
    if (point.action === 'tell') {
      process.stderr.write(`fail point ${name}\n`);
      return;
    }
    passed += 1;
    if (passed < point.from || passed >= point.from + point.times) return;
    if (point.action === 'kill') process.kill(process.pid, 'SIGKILL');
    const cause = Object.assign(new Error(point.action), { code: point.action });
    // The work was done and its answer lost, as when a thread dies, so it must not be retried like a refusal.
    const code = name.endsWith(':after') ? 'INTERNAL' : 'HOST_OPERATION_FAILED';
    throw new VolantError(code, `Failed on purpose at ${name}`, { cause });
  };
}
