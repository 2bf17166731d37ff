// engine, vms: makes what is what is wanted, one VM at a time and all VMs at once. It asks for the next step, takes it,
// and asks again; what fails is tried again with growing pauses. What the steps are is not known here.

import { LIMITS } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { requestIn } from '../cause.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { Share } from './fair-line.ts';
import type { StepName } from './next-step.ts';
import { type Operations, type Turn, tooManyWait } from './operations.ts';

export interface ExecutorParts {
  readonly state: State;
  readonly operations: Operations;
  /** null: nothing is to be done. */
  readonly next: (record: VmRecord) => StepName | null;
  /** What the work on a VM counts beside that on others. */
  readonly weigh: (vmId: number) => Share;
  /** Nothing is left to be done for the VM; the record is undefined when it is gone. */
  readonly onSettled: (vmId: number, record: VmRecord | undefined) => void;
  readonly take: (step: StepName, record: VmRecord, turn: Turn) => Promise<void>;
  readonly log: Logger;
}

/**
 * Until when a request waits, asked after each step: true when that is reached, and it throws when it cannot be any
 * more. `isSettled`: nothing is left to be done. The record is undefined when the VM is gone.
 */
export type Goal = (record: VmRecord | undefined, isSettled: boolean) => boolean;

interface Waiter {
  readonly goal: Goal;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  failures: number;
}

interface Line {
  readonly waiters: Set<Waiter>;
  isRunning: boolean;
  /** Something has changed since the last look. */
  isStale: boolean;
  failures: number;
  retry: NodeJS.Timeout | undefined;
}

export class Executor {
  readonly #parts: ExecutorParts;
  readonly #lines = new Map<number, Line>();

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
  }

  /** Looks at the VM soon, whether it waits for another try or not. */
  wake(vmId: number): void {
    const line = this.#lineOf(vmId);
    clearTimeout(line.retry);
    line.isStale = true;
    if (line.isRunning) return;
    line.isRunning = true;
    const { operations, weigh } = this.#parts;
    void operations
      .follow(
        vmId,
        (turn) => this.#converge(vmId, line, turn),
        () => weigh(vmId),
      )
      .catch((error: unknown) => {
        this.#parts.log.error({ id: vmId, err: error }, 'a VM could not be looked after');
      });
  }

  /** VM_STATE_CONFLICT when too many requests wait for this VM already. */
  requireRoom(vmId: number): void {
    const { size } = this.#lines.get(vmId)?.waiters ?? new Set();
    if (size >= LIMITS.operationsPerVmMax) throw tooManyWait();
  }

  /**
   * Resolves when the goal is reached. Rejects with what the goal throws, or with the error of a step that went wrong
   * again and again: it is tried on, but not waited for. The same when the signal aborts.
   */
  until(vmId: number, goal: Goal, signal?: AbortSignal): Promise<void> {
    const { waiters } = this.#lineOf(vmId);
    return new Promise((resolve, reject) => {
      const waiter = { goal, resolve, reject, failures: 0 };
      waiters.add(waiter);
      signal?.addEventListener('abort', () => {
        if (waiters.delete(waiter)) reject(signal.reason);
      });
    });
  }

  /** Tries nothing again; requests that still wait are told so. Call it when operations have ended. */
  close(): void {
    for (const line of this.#lines.values()) {
      clearTimeout(line.retry);
      for (const { reject } of line.waiters) reject(new VolantError('SHUTTING_DOWN'));
    }
    this.#lines.clear();
  }

  async #converge(vmId: number, line: Line, turn: Turn): Promise<void> {
    const { state, next, operations } = this.#parts;
    try {
      let failed: StepName | null = null;
      while (!operations.isClosed) {
        line.isStale = false;
        const record = state.find(vmId);
        const step = record === undefined ? null : next(record);
        this.#settle(line, record, step === null);
        if (record === undefined || step === null) {
          this.#parts.onSettled(vmId, record);
          break;
        }
        if (step === failed) {
          this.#retryLater(vmId, line);
          break;
        }
        turn.renew();
        failed = (await this.#take(step, record, line, turn)) ? null : step;
      }
    } finally {
      line.isRunning = false;
      if (line.isStale && !operations.isClosed) this.wake(vmId);
      else if (state.find(vmId) === undefined && line.waiters.size === 0) this.#lines.delete(vmId);
    }
  }

  /** false when it went wrong. */
  async #take(step: StepName, record: VmRecord, line: Line, turn: Turn): Promise<boolean> {
    const { state, take, operations, log } = this.#parts;
    try {
      await take(step, record, turn);
      if (line.failures > 0) state.vms.explain(record.id, null);
      line.failures = 0;
      return true;
    } catch (error) {
      if (operations.isClosed) return false;
      line.failures += 1;
      const reason = error instanceof VolantError ? error.message : 'an internal error';
      const facts = { vm: record.name, step, failures: line.failures };
      log.error({ ...facts, ...requestIn(record.wanted.cause), err: error }, 'step failed');
      state.vms.explain(record.id, `Is tried again: ${reason}`);
      for (const waiter of line.waiters) {
        waiter.failures += 1;
        if (waiter.failures < LIMITS.stepFailuresTold) continue;
        line.waiters.delete(waiter);
        waiter.reject(error);
      }
      return false;
    }
  }

  #retryLater(vmId: number, line: Line): void {
    const doublings = Math.min(line.failures - 1, 20);
    const pauseMs = Math.min(LIMITS.stepRetryMinMs * 2 ** doublings, LIMITS.stepRetryMaxMs);
    line.retry = setTimeout(() => this.wake(vmId), pauseMs);
  }

  #settle(line: Line, record: VmRecord | undefined, isSettled: boolean): void {
    for (const waiter of line.waiters) {
      try {
        if (!waiter.goal(record, isSettled)) continue;
        waiter.resolve();
      } catch (error) {
        waiter.reject(error);
      }
      line.waiters.delete(waiter);
    }
  }

  #lineOf(vmId: number): Line {
    const known = this.#lines.get(vmId);
    if (known !== undefined) return known;
    const line: Line = {
      waiters: new Set(),
      isRunning: false,
      isStale: false,
      failures: 0,
      retry: undefined,
    };
    this.#lines.set(vmId, line);
    return line;
  }
}
