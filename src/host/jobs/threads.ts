// jobs: the interface of the worker threads, as the main thread sees it. src/workers implements it by pools of
// threads.

import type { Queue } from '../../engine/ports/stats-ports.ts';
import type { FailPoint } from '../../lib/fail-points.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Family } from '../../lib/metrics/family.ts';
import type { Priorities } from '../../lib/priority.ts';
import type { AnyOutcome, JobArgument, JobName, Run } from './protocol.ts';

/** The state of the threads, for health checks. */
export interface ThreadFacts {
  /** Threads that take jobs. */
  readonly working: number;
  /** Jobs that were given up and have not returned, alone on their thread or beside other jobs. */
  readonly hanging: number;
  /** Threads that were replaced and are still busy. */
  readonly replaced: number;
}

/** The threads of the daemon. `run` is for short jobs. */
export interface Threads {
  readonly run: Run;
  readonly runChecksum: Run;
  readonly runDownload: Run;
  readonly runImage: Run;
  facts(): ThreadFacts;
  /** The queues before the threads. */
  queues(): readonly Queue[];
  /** What was counted of jobs and threads. */
  families(): readonly Family[];
  /** Returns the launches that were given up and may still create their process. */
  hangingLaunches(): readonly JobArgument<'launch'>[];
  /** When a short job ended last, in milliseconds of the monotonic clock. */
  lastEndMs(): number;
  /** Waits for running short jobs, within a bound, then ends all threads. */
  close(): Promise<void>;
}

export interface ThreadOptions {
  readonly failPoint: FailPoint | null;
  /** Called with the result of a job that had been given up. null: the job's thread failed. */
  readonly onLate: (name: JobName, outcome: AnyOutcome | null) => void;
  readonly log: Logger;
  readonly priorities: Priorities;
}

export type StartThreads = (options: ThreadOptions) => Threads;
