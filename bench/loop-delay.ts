// bench: loaded into a daemon before its own code (node --import): measures how late the main thread's timers are, and
// tells the parent when it asks. The daemon itself does not know of it.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const RESOLUTION_MS = 1;

export interface LoopDelay {
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

if (isMainThread && process.channel !== undefined) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  // A timer is never early: what it is late is all beyond the resolution.
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  process.on('message', () => {
    const delay: LoopDelay = {
      medianMs: late(delays.percentile(50)),
      p99Ms: late(delays.percentile(99)),
      maxMs: late(delays.max),
    };
    delays.reset();
    process.send?.(delay);
  });
  process.channel.unref();
}
