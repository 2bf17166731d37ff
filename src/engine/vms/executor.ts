// engine, vms: the reconcile loop. For each VM it asks for the next step, takes it, and asks again. Failed steps are
// retried with backoff. VMs are reconciled in parallel, the steps of one VM in sequence. The steps themselves are in
// steps.ts.

import type { Limits } from '../../config/limits.ts';
import { toVolantError, VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Turn } from '../../lib/queues/turn.ts';
import { requestIn } from '../events/cause.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import type { StepName } from './next-step.ts';
import { type Operations, tooManyWait } from './operations.ts';
import type { Share } from './work-queue.ts';

export interface ExecutorParts {
  readonly state: State;
  readonly operations: Operations;
  /** The next step; null if there is nothing to do. */
  readonly next: (record: VmRecord) => StepName | null;
  /** The client and cost of the work on a VM, for the budget. */
  readonly weigh: (vmId: number) => Share;
  /** Called when nothing is left to do for a VM. `record` is undefined if the VM is gone. */
  readonly onSettled: (vmId: number, record: VmRecord | undefined) => void;
  readonly take: (step: StepName, record: VmRecord, turn: Turn) => Promise<void>;
  readonly limits: Pick<
    Limits,
    'operationsPerVmMax' | 'stepFailuresReported' | 'stepRetryMinMs' | 'stepRetryMaxMs'
  >;
  readonly log: Logger;
}

/**
 * Until when a request waits; it is asked after each step. It returns true once the goal is reached and throws if it
 * cannot be reached any more. `isSettled` means that nothing is left to do. `record` is undefined if the VM is gone.
 */
export type Goal = (record: VmRecord | undefined, isSettled: boolean) => boolean;

interface Waiter {
  readonly goal: Goal;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  failures: number;
}

interface VmWork {
  readonly waiters: Set<Waiter>;
  isRunning: boolean;
  /** Something has changed since the last check of the next step. */
  isStale: boolean;
  failures: number;
  retry: NodeJS.Timeout | undefined;
}

export class Executor {
  readonly #parts: ExecutorParts;
  readonly #work = new Map<number, VmWork>();
  #isClosed = false;

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
  }

  /** Reconciles the VM soon. It cuts a backoff pause short. */
  wake(vmId: number): void {
    const work = this.#workOf(vmId);
    clearTimeout(work.retry);
    work.isStale = true;
    if (work.isRunning) return;
    work.isRunning = true;
    const { operations, weigh } = this.#parts;
    void operations
      .follow(
        vmId,
        (turn) => this.#converge(vmId, work, turn),
        () => weigh(vmId),
      )
      .catch((error: unknown) => {
        this.#parts.log.error({ id: vmId, err: error }, 'a VM could not be reconciled');
      });
  }

  /** Throws VM_STATE_CONFLICT if too many requests wait for this VM already. */
  requireQueueSpace(vmId: number): void {
    const { size } = this.#work.get(vmId)?.waiters ?? new Set();
    if (size >= this.#parts.limits.operationsPerVmMax) throw tooManyWait();
  }

  /**
   * Resolves when the goal is reached. Rejects with what the goal throws, with the abort reason of the signal, or with
   * the error of a step that failed LIMITS.stepFailuresReported times. Retries of that step continue in the background.
   */
  until(vmId: number, goal: Goal, signal?: AbortSignal): Promise<void> {
    if (this.#isClosed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    const { waiters } = this.#workOf(vmId);
    return new Promise((resolve, reject) => {
      const waiter = { goal, resolve, reject, failures: 0 };
      waiters.add(waiter);
      signal?.addEventListener('abort', () => {
        if (waiters.delete(waiter)) reject(signal.reason);
      });
    });
  }

  /** Stops retries. Rejects requests that wait, also later ones, with SHUTTING_DOWN. Call it after operations have ended. */
  close(): void {
    this.#isClosed = true;
    for (const work of this.#work.values()) {
      clearTimeout(work.retry);
      for (const { reject } of work.waiters) reject(new VolantError('SHUTTING_DOWN'));
    }
    this.#work.clear();
  }

  async #converge(vmId: number, work: VmWork, turn: Turn): Promise<void> {
    const { state, next, operations } = this.#parts;
    try {
      let failed: StepName | null = null;
      while (!operations.isClosed) {
        work.isStale = false;
        const record = state.find(vmId);
        const step = record === undefined ? null : next(record);
        this.#settle(work, record, step === null);
        if (record === undefined || step === null) {
          this.#parts.onSettled(vmId, record);
          break;
        }
        if (step === failed) {
          this.#retryLater(vmId, work);
          break;
        }
        turn.renew();
        failed = (await this.#take(step, record, work, turn)) ? null : step;
      }
    } finally {
      work.isRunning = false;
      if (work.isStale && !operations.isClosed) this.wake(vmId);
      else if (state.find(vmId) === undefined && work.waiters.size === 0) this.#work.delete(vmId);
    }
  }

  /** Takes one step. Returns false if it failed. */
  async #take(step: StepName, record: VmRecord, work: VmWork, turn: Turn): Promise<boolean> {
    const { state, take, operations, log } = this.#parts;
    try {
      await take(step, record, turn);
      if (work.failures > 0) state.vms.setStatusReason(record.id, null);
      work.failures = 0;
      return true;
    } catch (error) {
      if (operations.isClosed) return false;
      work.failures += 1;
      const reason = toVolantError(error).message;
      const facts = { vm: record.name, step, failures: work.failures };
      log.error({ ...facts, ...requestIn(record.wanted.cause), err: error }, 'step failed');
      state.vms.setStatusReason(record.id, `Retrying: ${reason}`);
      for (const waiter of work.waiters) {
        waiter.failures += 1;
        if (waiter.failures < this.#parts.limits.stepFailuresReported) continue;
        work.waiters.delete(waiter);
        waiter.reject(error);
      }
      return false;
    }
  }

  #retryLater(vmId: number, work: VmWork): void {
    const doublings = Math.min(work.failures - 1, 20);
    const { stepRetryMinMs, stepRetryMaxMs } = this.#parts.limits;
    const pauseMs = Math.min(stepRetryMinMs * 2 ** doublings, stepRetryMaxMs);
    work.retry = setTimeout(() => this.wake(vmId), pauseMs);
  }

  #settle(work: VmWork, record: VmRecord | undefined, isSettled: boolean): void {
    for (const waiter of work.waiters) {
      try {
        if (!waiter.goal(record, isSettled)) continue;
        waiter.resolve();
      } catch (error) {
        waiter.reject(error);
      }
      work.waiters.delete(waiter);
    }
  }

  #workOf(vmId: number): VmWork {
    const known = this.#work.get(vmId);
    if (known !== undefined) return known;
    const work: VmWork = {
      waiters: new Set(),
      isRunning: false,
      isStale: false,
      failures: 0,
      retry: undefined,
    };
    this.#work.set(vmId, work);
    return work;
  }
}
