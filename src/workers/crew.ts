// workers, main-thread side: threads for jobs of one kind, and the line before them. Every job has a deadline. A
// thread that does not come back cannot be ended, since it is the kernel that holds it; it is replaced, and its job
// is waited for no longer. What the jobs do is not known here.

import type { TransferListItem } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { LIMITS } from '../config.ts';
import { within } from '../lib/deadline.ts';
import { DrainRate } from '../lib/drain-rate.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { unwrap } from '../lib/outcome.ts';
import type { AnyOutcome, JobArgument, JobName, JobResult } from './protocol.ts';

export interface CrewOptions {
  /** The file that threads run, and the function in it that runs a job. */
  readonly filename: string;
  readonly threads: number;
  /** Jobs that one thread has at once: those that wait for the network share one. */
  readonly jobsPerThread: number;
  /** A thread ends after so long without a job; null: it stays. */
  readonly idleMs: number | null;
  /** A thread that has had a job for so long gets a substitute, while the job goes on; null: not before the deadline. */
  readonly slowMs: number | null;
  readonly deadlinesMs: Readonly<Record<JobName, number>>;
  /** Told when a job has come back that nobody waits for any more; null: its thread failed. */
  readonly onLate: (name: JobName, outcome: AnyOutcome | null) => void;
  readonly log: Logger;
}

/** What is known of the threads. */
export interface CrewFacts {
  /** Threads that take jobs. */
  readonly working: number;
  /** Jobs that were given up and have not come back, each on a thread of its own or with others. */
  readonly hanging: number;
  /** Threads that were replaced, and are still busy. */
  readonly away: number;
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
  timer: NodeJS.Timeout | undefined;
}

/**
 * Piscina loads a file by `require` first. Node aborts the whole process when a thread is ended while it
 * requires an ES module; while it imports one, nothing happens.
 */
const NO_REQUIRE = ['--no-experimental-require-module'].filter((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
);

export class Crew {
  readonly #options: CrewOptions;
  readonly #threads = new Set<Thread>();
  /** They were replaced, and take no jobs any more. */
  readonly #away = new Set<Thread>();
  readonly #waiting: Job[] = [];
  /** Jobs that were given up and have not come back. */
  readonly #hanging = new Set<Job>();
  readonly #drain = new DrainRate(LIMITS.retryAfterSecondsMax, LIMITS.jobsPerSecondGuess);
  #closed = false;
  #whenIdle: (() => void)[] = [];
  /** When a job ended last, of a monotonic clock. */
  lastEndMs = Number.NEGATIVE_INFINITY;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#fill();
  }

  get facts(): CrewFacts {
    const { size: hanging } = this.#hanging;
    return { working: this.#threads.size, hanging, away: this.#away.size };
  }

  /** The arguments of jobs of this name that were given up and have not come back: they may do their work yet. */
  hanging<N extends JobName>(name: N): readonly JobArgument<N>[] {
    const jobs = [...this.#hanging].filter((job) => job.name === name);
    return jobs.map(({ argument }) => argument as JobArgument<N>);
  }

  /**
   * Runs a job on a thread. Rejects with what it failed for, with OVERLOADED when too many wait, and with
   * HOST_TIMEOUT when it does not come back by its deadline or when so many of its name hang already.
   */
  run<N extends JobName>(
    name: N,
    argument: JobArgument<N>,
    transferList: readonly TransferListItem[] = [],
  ): Promise<JobResult<N>> {
    if (this.#closed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    if (this.hanging(name).length >= LIMITS.jobsHangingMax || this.#threads.size === 0) {
      return Promise.reject(hangs(name, 'others like it have not come back'));
    }
    if (this.#waiting.length >= LIMITS.jobsWaitingMax) {
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
        timer: undefined,
      });
      this.#dispatch();
    });
  }

  /**
   * Begins nothing new, lets running jobs end for so long, or ends them at once where that is 0, and ends the
   * threads. Resolves with the number of jobs that were left behind.
   */
  async close(timeoutMs: number): Promise<number> {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new VolantError('SHUTTING_DOWN'));
    if (timeoutMs > 0) await within(this.#idle(), timeoutMs);
    const left = this.#running();
    const threads = [...this.#threads, ...this.#away];
    this.#threads.clear();
    this.#away.clear();
    for (const job of left) {
      clearTimeout(job.timer);
      if (job.state !== 'given up') job.reject(new VolantError('SHUTTING_DOWN'));
    }
    const ends = Promise.all(threads.map(({ pool }) => pool.destroy()));
    // One that the kernel holds does not end.
    await within(ends, LIMITS.threadEndMs);
    return left.length;
  }

  #running(): readonly Job[] {
    return [...this.#threads, ...this.#away].flatMap(({ jobs }) => [...jobs]);
  }

  /** Resolves when no job runs that somebody waits for. */
  #idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle.push(resolve);
      this.#tellIdle();
    });
  }

  #tellIdle(): void {
    if (this.#running().some(({ state }) => state !== 'given up')) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** One thread more is within the bound. */
  get #hasRoom(): boolean {
    const most = this.#options.threads + LIMITS.threadsAwayMax;
    return !this.#closed && this.#threads.size + this.#away.size < most;
  }

  #fill(): void {
    while (this.#hasRoom && this.#threads.size < this.#options.threads) {
      this.#threads.add({ pool: this.#startThread(), jobs: new Set() });
    }
  }

  #startThread(): Piscina {
    const { filename, idleMs, jobsPerThread, log } = this.#options;
    const pool = new Piscina({
      filename,
      name: 'runJob',
      execArgv: NO_REQUIRE,
      // A thread that is ended for being idle would take longer to come back than a short job.
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
    const allMs = deadlinesMs[name];
    const onDeadline = () => this.#giveUp(job, thread, allMs);
    if (slowMs === null || slowMs >= allMs) {
      job.timer = setTimeout(onDeadline, allMs);
    } else {
      job.timer = setTimeout(() => {
        job.timer = setTimeout(onDeadline, allMs - slowMs);
        job.state = 'slow';
        this.#relieve();
      }, slowMs);
    }
    void this.#carryOut(job, thread, { name, argument }, [...transferList]);
  }

  /** Never rejects: what comes of it is the caller's, or nobody's any more. */
  async #carryOut(
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
    if (this.#hanging.delete(job)) this.#options.onLate(job.name, outcome);
    else if (outcome === null) job.reject(failure);
    else settle(job, outcome);
    this.#onFree(thread);
  }

  #onFree(thread: Thread): void {
    // Another has its place.
    if (thread.jobs.size === 0 && this.#away.delete(thread)) void thread.pool.destroy();
    this.#relieve();
    this.#tellIdle();
  }

  #giveUp(job: Job, thread: Thread, afterMs: number): void {
    job.state = 'given up';
    this.#hanging.add(job);
    this.#options.log.error({ job: job.name, afterMs }, 'a job does not come back; it is given up');
    job.reject(hangs(job.name, `it has not come back after ${Math.round(afterMs / 1000)} s`));
    // Also where there are as many substitutes as there may be: then it is missed until its job comes back.
    if (this.#threads.delete(thread)) this.#away.add(thread);
    this.#relieve();
    this.#tellIdle();
    if (this.#threads.size > 0) return;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.reject(hangs(waiting.name, 'no thread is left for it'));
    }
  }

  /** Threads whose jobs take long get substitutes, so that others need not wait for them. */
  #relieve(): void {
    for (const thread of this.#threads) {
      if (!this.#hasRoom) break;
      if (![...thread.jobs].some(({ state }) => state !== 'running')) continue;
      this.#threads.delete(thread);
      this.#away.add(thread);
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
    `The host does not carry out an operation (${name}): ${why}`,
  );
}
