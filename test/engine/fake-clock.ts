// test: a stand-in for the clocks of a host.

import type { Clock } from '../../src/lib/clock.ts';

/** What the clocks of a host depend on. */
export interface Times {
  /** By how much the wall clock was set. */
  clockSetByMs: number;
  uptimeMs: number;
  bootId: string;
}

/** Its wall clock continues with each look, too. */
export function fakeClock(world: Readonly<Times>): Clock {
  let nowMs = 1_700_000_000_000;
  return {
    nowMs: () => nowMs++ + world.clockSetByMs + world.uptimeMs,
    monotonicMs: () => performance.now(),
    uptimeMs: () => world.uptimeMs,
    bootId: world.bootId,
  };
}
