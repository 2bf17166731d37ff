// workers: the daemon's pools of threads: for short jobs, for downloads, for checksums, for container images. Long jobs
// have pools of their own so that short ones never wait for them. What the jobs do does not belong here; see
// src/host/jobs.

import { LIMITS } from '../config/limits.ts';
import type { Run } from '../host/jobs/protocol.ts';
import type { ThreadFacts, ThreadOptions, Threads } from '../host/jobs/threads.ts';
import { failPoints } from '../lib/fail-points.ts';
import { programFile } from '../lib/files/own-files.ts';
import { DEADLINES_MS } from './deadlines.ts';
import { JobMeter, threadFamilies } from './job-meter.ts';
import { withFailPoints } from './with-fail-points.ts';
import { WorkerPool, type WorkerPoolOptions } from './worker-pool.ts';

const SLOW_IDLE_MS = 60_000;

const ENTRY = programFile('workers/entry.js');

/** Starts the pools. The caller owns them and calls close(). */
export function startThreads({ failPoint, onLate, log, priorities }: ThreadOptions): Threads {
  const meter = new JobMeter();
  const common: Omit<WorkerPoolOptions, 'threads' | 'jobsPerThread' | 'idleMs' | 'slowMs'> = {
    filename: ENTRY,
    deadlinesMs: DEADLINES_MS,
    onLate,
    meter,
    log,
    priorities,
  };
  const { workerThreads: threads, jobSlowMs: slowMs } = LIMITS;
  const main = new WorkerPool({ ...common, threads, jobsPerThread: 1, idleMs: null, slowMs });
  // Long jobs of one kind share one thread.
  const slow = { ...common, threads: 1, idleMs: SLOW_IDLE_MS, slowMs: null };
  const downloads = new WorkerPool({ ...slow, jobsPerThread: LIMITS.mediaJobsMax });
  // An image is unpacked with calls that block, so each has a thread of its own.
  const images = new WorkerPool({ ...slow, threads: LIMITS.imageJobsMax, jobsPerThread: 1 });
  const checksums = new WorkerPool({ ...slow, jobsPerThread: LIMITS.checksumJobsMax });
  return {
    run: withFailPoints(runOf(main), failPoints(failPoint)),
    runDownload: runOf(downloads),
    runChecksum: runOf(checksums),
    runImage: runOf(images),
    facts: () => sumOf([main, downloads, checksums, images]),
    queues: () => [
      { name: 'workers', ...main.load, waiting_max: LIMITS.jobsWaitingMax },
      { name: 'downloads', ...downloads.load, waiting_max: LIMITS.jobsWaitingMax },
      { name: 'checksums', ...checksums.load, waiting_max: LIMITS.jobsWaitingMax },
      { name: 'images', ...images.load, waiting_max: LIMITS.jobsWaitingMax },
    ],
    families: () => [
      ...meter.families(),
      ...threadFamilies(sumOf([main, downloads, checksums, images])),
    ],
    hangingLaunches: () => main.hanging('launch'),
    lastEndMs: () => main.lastEndMs,
    close: async () => {
      // A download is aborted here. It resumes when it is requested again.
      const slowEnds = [downloads.close(0), checksums.close(0), images.close(0)];
      const left = await main.close(LIMITS.jobsEndMs);
      await Promise.all(slowEnds);
      if (left > 0) log.warn({ jobs: left }, 'abandoning jobs that have not ended');
    },
  };
}

function runOf(pool: WorkerPool): Run {
  return (name, argument, transferList) => pool.run(name, argument, transferList);
}

function sumOf(pools: readonly WorkerPool[]): ThreadFacts {
  const facts = pools.map((pool) => pool.facts);
  const sum = (key: keyof ThreadFacts) => facts.reduce((total, one) => total + one[key], 0);
  return { working: sum('working'), hanging: sum('hanging'), replaced: sum('replaced') };
}
