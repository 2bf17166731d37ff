// config: the limits of jobs on worker threads and of the health check, as part of LIMITS.

export const JOB_LIMITS = {
  /** Jobs that may wait for a worker thread. Further ones are answered with 503. */
  jobsWaitingMax: 8192,
  workerThreads: 4,
  /** Assumed rate of the job queue until it was measured. */
  jobsPerSecondGuess: 100,
  /** Deadlines of jobs: one that only reads, one that changes the kernel's state, one with much data. */
  jobReadMs: 15_000,
  jobChangeMs: 60_000,
  jobBulkMs: 600_000,
  /** A thread whose job takes longer than this gets a substitute. */
  jobSlowMs: 5_000,
  /** Maximum number of threads that were replaced and are still busy. */
  threadsReplacedMax: 16,
  /** With this many hanging jobs of one name, further ones are refused. */
  jobsHangingMax: 4,
  /**
   * At the end of the daemon: how long it waits for running jobs, for threads to end, and for writes to reach the
   * disk.
   */
  jobsEndMs: 5_000,
  threadEndMs: 1_000,
  storeEndMs: 5_000,
  /** Maximum Retry-After that is computed from the rate of a queue. */
  retryAfterSecondsMax: 120,
  /** How long a health result is reused, and the timeout of each health check. */
  healthKeepMs: 2_000,
  healthTimeoutMs: 2_000,
  /** The daemon is unhealthy when its event loop stalled for longer than this in the last ten seconds. */
  healthStallMs: 1_000,
  /** The daemon is unhealthy with less free space than this on the disk of the records. */
  healthFreeBytesMin: 1024 * 1024,
} as const;
