// workers: a pool of threads for jobs of one kind, with the queue before it. Every job has a deadline. A thread that
// the kernel holds cannot be ended: when its job passes the deadline, the thread is replaced and the job's caller
// gets HOST_TIMEOUT. What the jobs do does not belong here; see src/host/jobs.

import type { TransferListItem } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { LIMITS } from '../config/limits.ts';
import type { AnyOutcome, JobArgument, JobName, JobResult } from '../host/jobs/protocol.ts';
import type { ThreadFacts } from '../host/jobs/threads.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log/log.ts';
import { unwrap } from '../lib/outcome.ts';
import type { Priorities } from '../lib/priority.ts';
import { DrainRate } from '../lib/queues/drain-rate.ts';
import type { JobMeter } from './job-meter.ts';

export interface WorkerPoolOptions {
  /** The file that threads run. Its export `runJob` runs one job. */
  readonly filename: string;
  readonly threads: number;
  /** Jobs that one thread runs concurrently: jobs that mostly wait for the network share a thread. */
  readonly jobsPerThread: number;
  /** A thread ends after this time without a job. null: it never ends for being idle. */
  readonly idleMs: number | null;
  /**
   * A thread whose job takes longer than this gets a substitute, and the job continues. null: no substitute before
   * the deadline.
   */
  readonly slowMs: number | null;
  readonly deadlinesMs: Readonly<Record<JobName, number>>;
  /** Called with the result of a job that had been given up. null: the job's thread failed. */
  readonly onLate: (name: JobName, outcome: AnyOutcome | null) => void;
  readonly meter: JobMeter;
  readonly log: Logger;
  /** The workerData of the threads. */
  readonly priorities: Priorities;
}

interface Thread {
  readonly pool: Piscina;
  readonly jobs: Set<Job>;
}

interface Job {
  readonly name: JobName;
  readonly argument: unknown;
  readonly transferList: readonly TransferListItem[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  state: 'running' | 'slow' | 'given up';
  /** Monotonic; set when a thread has it. */
  startedMs: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Piscina loads a file by `require` first. Node aborts the whole process when a thread is ended while it requires an
 * ES module. Ending a thread while it imports one is safe.
 */
const NO_REQUIRE = ['--no-experimental-require-module'].filter((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
);

/** A pool with a fixed number of threads, a bounded queue, and substitutes for threads that do not return. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #threads = new Set<Thread>();
  /** Threads that were replaced. They take no more jobs. */
  readonly #replaced = new Set<Thread>();
  readonly #waiting: Job[] = [];
  /** Jobs that were given up and have not returned. */
  readonly #hanging = new Set<Job>();
  readonly #drain = new DrainRate(LIMITS.retryAfterSecondsMax, LIMITS.jobsPerSecondGuess);
  #closed = false;
  #whenIdle: (() => void)[] = [];
  /** When a job ended last, in milliseconds of the monotonic clock. */
  lastEndMs = Number.NEGATIVE_INFINITY;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#fill();
  }

  get facts(): ThreadFacts {
    const { size: hanging } = this.#hanging;
    return { working: this.#threads.size, hanging, replaced: this.#replaced.size };
  }

  /** How many jobs run and wait, and how many can run at the same time. */
  get load(): { readonly running: number; readonly capacity: number; readonly waiting: number } {
    let running = 0;
    for (const { jobs } of this.#threads) running += jobs.size;
    const { jobsPerThread } = this.#options;
    const capacity = this.#threads.size * jobsPerThread;
    return { running, capacity, waiting: this.#waiting.length };
  }

  /**
   * Returns the arguments of the jobs of this name that were given up and have not returned. Such a job may still do
   * its work.
   */
  hanging<N extends JobName>(name: N): readonly JobArgument<N>[] {
    const jobs = [...this.#hanging].filter((job) => job.name === name);
    return jobs.map(({ argument }) => argument as JobArgument<N>);
  }

  /**
   * Runs a job on a thread. Rejects with the job's own error, with OVERLOADED when the queue is full, with
   * SHUTTING_DOWN after close(), and with HOST_TIMEOUT when the job passes its deadline or LIMITS.jobsHangingMax jobs
   * of its name already hang.
   */
  run<N extends JobName>(
    name: N,
    argument: JobArgument<N>,
    transferList: readonly TransferListItem[] = [],
  ): Promise<JobResult<N>> {
    if (this.#closed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    if (this.hanging(name).length >= LIMITS.jobsHangingMax || this.#threads.size === 0) {
      this.#options.meter.refused(name);
      return Promise.reject(hangs(name, 'earlier ones of this kind still hang'));
    }
    if (this.#waiting.length >= LIMITS.jobsWaitingMax) {
      this.#options.meter.refused(name);
      const retryAfterSeconds = this.#drain.secondsFor(this.#waiting.length, performance.now());
      return Promise.reject(new VolantError('OVERLOADED', undefined, { retryAfterSeconds }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        name,
        argument,
        transferList,
        resolve: (value) => resolve(value as JobResult<N>),
        reject,
        state: 'running',
        startedMs: 0,
        timer: undefined,
      });
      this.#dispatch();
    });
  }

  /**
   * Takes no more jobs, waits up to `timeoutMs` for the running ones (0: does not wait), and ends the threads.
   * Resolves with the number of jobs that were abandoned.
   */
  async close(timeoutMs: number): Promise<number> {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new VolantError('SHUTTING_DOWN'));
    if (timeoutMs > 0) await within(this.#idle(), timeoutMs);
    const left = this.#running();
    const threads = [...this.#threads, ...this.#replaced];
    this.#threads.clear();
    this.#replaced.clear();
    for (const job of left) {
      clearTimeout(job.timer);
      if (job.state !== 'given up') job.reject(new VolantError('SHUTTING_DOWN'));
    }
    const ends = Promise.all(threads.map(({ pool }) => pool.destroy()));
    // A thread that the kernel holds does not end.
    await within(ends, LIMITS.threadEndMs);
    return left.length;
  }

  #running(): readonly Job[] {
    return [...this.#threads, ...this.#replaced].flatMap(({ jobs }) => [...jobs]);
  }

  /** Resolves when no job runs whose caller still waits. */
  #idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle.push(resolve);
      this.#notifyIdle();
    });
  }

  #notifyIdle(): void {
    if (this.#running().some(({ state }) => state !== 'given up')) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Whether one more thread is within the bound. */
  get #mayAddThread(): boolean {
    const most = this.#options.threads + LIMITS.threadsReplacedMax;
    return !this.#closed && this.#threads.size + this.#replaced.size < most;
  }

  #fill(): void {
    while (this.#mayAddThread && this.#threads.size < this.#options.threads) {
      this.#threads.add({ pool: this.#startThread(), jobs: new Set() });
    }
  }

  #startThread(): Piscina {
    const { filename, idleMs, jobsPerThread, log, priorities } = this.#options;
    const pool = new Piscina({
      filename,
      name: 'runJob',
      execArgv: NO_REQUIRE,
      workerData: priorities,
      // Starting a thread again takes longer than a short job, so busy pools keep theirs.
      minThreads: idleMs === null ? 1 : 0,
      maxThreads: 1,
      concurrentTasksPerWorker: jobsPerThread,
      ...(idleMs === null ? {} : { idleTimeout: idleMs }),
      // Waiting on atomics would stop a thread's own event loop while it is idle.
      atomics: 'disabled',
      recordTiming: false,
    });
    pool.on('error', (error) => log.error({ err: error }, 'a worker thread failed'));
    return pool;
  }

  #dispatch(): void {
    for (const thread of this.#threads) {
      while (thread.jobs.size < this.#options.jobsPerThread) {
        const job = this.#waiting.shift();
        if (job === undefined) break;
        this.#start(job, thread);
      }
    }
    if (this.#waiting.length > 0) this.#drain.full(performance.now());
    else this.#drain.empty(performance.now());
  }

  #start(job: Job, thread: Thread): void {
    const { slowMs, deadlinesMs } = this.#options;
    const { name, argument, transferList } = job;
    thread.jobs.add(job);
    job.startedMs = performance.now();
    const allMs = deadlinesMs[name];
    const onDeadline = () => this.#giveUp(job, thread, allMs);
    if (slowMs === null || slowMs >= allMs) {
      job.timer = setTimeout(onDeadline, allMs);
    } else {
      job.timer = setTimeout(() => {
        job.timer = setTimeout(onDeadline, allMs - slowMs);
        job.state = 'slow';
        this.#substitute();
      }, slowMs);
    }
    void this.#runOn(job, thread, { name, argument }, [...transferList]);
  }

  /** Never rejects: the result goes to the job's caller, or to onLate after the job was given up. */
  async #runOn(
    job: Job,
    thread: Thread,
    task: object,
    transferList: TransferListItem[],
  ): Promise<void> {
    let outcome: AnyOutcome | null = null;
    let failure: unknown;
    try {
      outcome = await thread.pool.run(task, { transferList });
    } catch (error) {
      failure = new VolantError('INTERNAL', 'A worker thread failed', { cause: error });
    }
    clearTimeout(job.timer);
    thread.jobs.delete(job);
    this.lastEndMs = performance.now();
    this.#drain.ended(this.lastEndMs);
    const durationMs = this.lastEndMs - job.startedMs;
    this.#options.meter.ended(job.name, durationMs, outcome?.ok === true);
    if (this.#hanging.delete(job)) this.#options.onLate(job.name, outcome);
    else if (outcome === null) job.reject(failure);
    else settle(job, outcome);
    this.#onFree(thread);
  }

  #onFree(thread: Thread): void {
    // A substitute has taken its place.
    if (thread.jobs.size === 0 && this.#replaced.delete(thread)) void thread.pool.destroy();
    this.#substitute();
    this.#notifyIdle();
  }

  #giveUp(job: Job, thread: Thread, afterMs: number): void {
    job.state = 'given up';
    this.#options.meter.overran(job.name);
    this.#hanging.add(job);
    this.#options.log.error(
      { job: job.name, afterMs },
      'a job has passed its deadline and is given up',
    );
    job.reject(hangs(job.name, `no result after ${afterMs / 1000} s`));
    // This happens even when the maximum number of substitutes exists: the pool is then smaller until the job
    // returns.
    if (this.#threads.delete(thread)) this.#replaced.add(thread);
    this.#substitute();
    this.#notifyIdle();
    if (this.#threads.size > 0) return;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.reject(hangs(waiting.name, 'no worker thread is left'));
    }
  }

  /** Gives substitutes to threads whose jobs take long, so that other jobs need not wait for them. */
  #substitute(): void {
    for (const thread of this.#threads) {
      if (!this.#mayAddThread) break;
      if (![...thread.jobs].some(({ state }) => state !== 'running')) continue;
      this.#threads.delete(thread);
      this.#replaced.add(thread);
      this.#fill();
    }
    this.#fill();
    this.#dispatch();
  }
}

function settle(job: Job, outcome: AnyOutcome): void {
  try {
    job.resolve(unwrap<unknown>(outcome));
  } catch (error) {
    job.reject(error);
  }
}

function hangs(name: JobName, why: string): VolantError {
  return new VolantError(
    'HOST_TIMEOUT',
    `The host has not completed an operation (${name}): ${why}`,
  );
}
