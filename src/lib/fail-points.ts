// lib: places where the daemon ends or fails on purpose, so that a test can see what becomes of it. Off unless
// VOLANT_FAIL_POINT names one. Where they are is their users' business.

import { VolantError } from './errors.ts';

/**
 * kill: the process ends as by kill -9. tell: the name goes to standard error; the name `*` means every place. The
 * others are errors that the place throws.
 */
export const FAIL_ACTIONS = ['kill', 'tell', 'EIO', 'ENOSPC', 'EMFILE', 'ETIMEDOUT'] as const;

export interface FailPoint {
  readonly name: string;
  readonly action: (typeof FAIL_ACTIONS)[number];
  /** From which time on that the place is passed, from 1. */
  readonly from: number;
  /** How often in a row. */
  readonly times: number;
}

const RULE = `NAME=ACTION[@FROM[xTIMES]] with one of ${FAIL_ACTIONS.join(', ')}`;

/** null for an empty text, a sentence where it is none. */
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

/** Told the name of a place each time that it is passed; may not return. */
export type PassFailPoint = (name: string) => void;

/** Of one thread: it counts how often the place was passed. */
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
    // What was done all the same is not done again: its answer was lost, as with a thread that dies.
    const code = name.endsWith(':after') ? 'INTERNAL' : 'HOST_OPERATION_FAILED';
    throw new VolantError(code, `Failed on purpose at ${name}`, { cause });
  };
}
