// test: a stand-in for the clocks of a host.

import type { Clock } from '../../src/lib/clock.ts';

/** Its wall clock goes on with each look, and is set by what the world says. */
export function fakeClock(world: { readonly clockSetByMs: number }): Clock {
  let nowMs = 1_700_000_000_000;
  return {
    nowMs: () => nowMs++ + world.clockSetByMs,
    monotonicMs: () => performance.now(),
    // Processes were launched at this moment.
    uptimeMs: () => 0,
  };
}
