// config: limits of the work on threads, and of what is asked to find out whether the daemon is well. A part of LIMITS,
// in a file of its own because that one is long.

export const JOB_LIMITS = {
  /** Jobs that may wait for a worker thread; more answer 503. */
  jobsWaitingMax: 8192,
  workerThreads: 4,
  /** Pace that a line of jobs is thought to have until it was measured. */
  jobsPerSecondGuess: 100,
  /** A job on a worker thread is given up after so long: one that only looks, one that changes the kernel, one with much data. */
  jobLookMs: 15_000,
  jobChangeMs: 60_000,
  jobBulkMs: 600_000,
  /** A thread that has had one job for so long gets a substitute. */
  jobSlowMs: 5_000,
  /** Substitutes at once. */
  threadsAwayMax: 16,
  /** Jobs of one name that were given up and have not come back: further ones are refused. */
  jobsHangingMax: 4,
  /** At the end of the daemon: for jobs that run, for threads to end, and for what was written to reach the disk. */
  jobsEndMs: 5_000,
  threadEndMs: 1_000,
  storeEndMs: 5_000,
  /** Longest Retry-After that is worked out from the pace of a line. */
  retryAfterSecondsMax: 120,
  /** Health is looked at so often at most, and each of its questions must be answered within so long. */
  healthKeepMs: 2_000,
  healthTimeoutMs: 2_000,
  /** An event loop that stalled for longer in the last ten seconds is not healthy. */
  healthStallMs: 1_000,
  /** Less room than this on the disk of the records is not healthy. */
  healthFreeBytesMin: 1024 * 1024,
} as const;
