// engine, vms: the operations log of each VM: what was done, why, and how long it took. It is written in the
// background, and no other part depends on it.

import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Family } from '../../lib/metrics/family.ts';
import type { Write } from '../ports/store-ports.ts';
import type { Cause, OperationKind, OperationRecord, OperationStep } from '../records.ts';
import type { State } from '../state/state.ts';
import { OperationMeter } from './operation-meter.ts';

export interface JournalParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Current {
  readonly number: number;
  readonly kind: OperationKind;
  readonly cause: Cause;
  readonly startedAtMs: number;
  readonly steps: OperationStep[];
  error: string | null;
}

export class Journal {
  readonly #parts: JournalParts;
  readonly #current = new Map<number, Current>();
  /** By VM: the number of its last operation, if it had one since the daemon started. */
  readonly #lastNumbers = new Map<number, number>();
  readonly #meter = new OperationMeter();
  #unwritten: OperationRecord[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** Begins an operation that a request asked for. The current operation of the VM ends as superseded. */
  begin(vmId: number, kind: OperationKind, cause: Cause): void {
    this.#close(vmId, 'superseded');
    this.#open(vmId, kind, cause);
  }

  /**
   * Records a step. If no operation is open, for example after a crash, a start of the daemon or a drift, it opens one
   * with the cause `defaultCause`.
   */
  took(vmId: number, step: string, durationMs: number, error: unknown, defaultCause: Cause): void {
    this.#meter.took(step, durationMs, error === null);
    const known = this.#current.get(vmId);
    // Each start of the daemon inspects every VM; an inspection that finds nothing to do is not recorded.
    if (known === undefined && step === 'look' && error === null) return;
    const current = known ?? this.#open(vmId, 'reconcile', defaultCause);
    const message = error === null ? null : toVolantError(error).message;
    if (message !== null) current.error = message;
    const last = current.steps.at(-1);
    // A retried step is recorded once, with a counter.
    if (last?.step === step && last.error === message) {
      const times = last.times + 1;
      const duration_ms = Math.round(durationMs);
      current.steps[current.steps.length - 1] = { ...last, times, duration_ms };
      return;
    }
    if (current.steps.length >= LIMITS.operationStepsMax) current.steps.shift();
    current.steps.push({ step, times: 1, duration_ms: Math.round(durationMs), error: message });
  }

  /**
   * Ends the current operation: nothing is left to do for the VM. `hasFailed` means that the wanted state was not
   * reached.
   */
  settled(vmId: number, hasFailed: boolean): void {
    this.#close(vmId, hasFailed ? 'failed' : 'done');
  }

  /** Forgets a removed VM. Its stored operations are removed together with its record. */
  forget(vmId: number): void {
    const kind = this.#current.get(vmId)?.kind;
    // Of a create that failed nothing is left. Every other operation ends like this if the VM was to be deleted.
    if (kind !== undefined) this.#meter.ended(kind, kind === 'create' ? 'failed' : 'done');
    this.#current.delete(vmId);
    this.#lastNumbers.delete(vmId);
    this.#unwritten = this.#unwritten.filter((record) => record.vmId !== vmId);
  }

  /** The operations of a VM, newest first. One that is under way comes first. */
  of(vmId: number): readonly OperationRecord[] {
    const current = this.#current.get(vmId);
    const unwritten = this.#unwritten.filter((record) => record.vmId === vmId).toReversed();
    const stored = this.#parts.state.store.operations(vmId, LIMITS.operationsKeptPerVmMax);
    const known = [...unwritten, ...stored].slice(0, LIMITS.operationsKeptPerVmMax);
    return current === undefined ? known : [this.#recordOf(vmId, current, null), ...known];
  }

  /** What was counted of operations and their steps. */
  families(): readonly Family[] {
    return this.#meter.families();
  }

  /** Writes what is not on disk yet. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#write();
  }

  #open(vmId: number, kind: OperationKind, cause: Cause): Current {
    const number = this.#numberOf(vmId, kind);
    const startedAtMs = this.#parts.clock.nowMs();
    const current: Current = { number, kind, cause, startedAtMs, steps: [], error: null };
    this.#current.set(vmId, current);
    return current;
  }

  #close(vmId: number, outcome: NonNullable<OperationRecord['outcome']>): void {
    const current = this.#current.get(vmId);
    if (current === undefined) return;
    this.#current.delete(vmId);
    this.#meter.ended(current.kind, outcome);
    this.#unwritten.push(this.#recordOf(vmId, current, outcome));
    this.#writeSoon();
  }

  #writeSoon(): void {
    this.#timer ??= setTimeout(() => void this.#write(), LIMITS.operationWriteMs).unref();
  }

  #recordOf(
    vmId: number,
    { steps, error, ...begun }: Current,
    outcome: OperationRecord['outcome'],
  ): OperationRecord {
    const endedAtMs = outcome === null ? null : this.#parts.clock.nowMs();
    // If the operation succeeded in the end, its failed steps are not shown as its error.
    const why = outcome === 'done' ? null : error;
    return { vmId, ...begun, endedAtMs, outcome, error: why, steps: [...steps] };
  }

  #numberOf(vmId: number, kind: OperationKind): number {
    const { store } = this.#parts.state;
    // A new VM has nothing stored.
    const stored = () => (kind === 'create' ? 0 : (store.operations(vmId, 1)[0]?.number ?? 0));
    const last = this.#lastNumbers.get(vmId) ?? stored();
    this.#lastNumbers.set(vmId, last + 1);
    return last + 1;
  }

  async #write(): Promise<void> {
    this.#timer = undefined;
    const { state, log } = this.#parts;
    // A removal that is being stored may fail. If it does not, forget() is called.
    const records = this.#unwritten.filter(({ vmId }) => !state.isLeaving(vmId));
    if (records.length < this.#unwritten.length) this.#writeSoon();
    const writes = records
      .filter(({ vmId }) => state.find(vmId) !== undefined)
      .flatMap((value): Write[] => {
        const { vmId, number } = value;
        const forgotten = number - LIMITS.operationsKeptPerVmMax;
        return [
          { table: 'operations', key: [vmId, number], value },
          ...(forgotten > 0
            ? [{ table: 'operations', key: [vmId, forgotten], value: null } as const]
            : []),
        ];
      });
    try {
      if (writes.length > 0) await state.commit(writes, []);
    } catch (error) {
      // A commit fails for example if the disk is full. The operations log is then dropped first, so nothing retries
      // it.
      log.warn({ err: error }, 'operations could not be written');
    }
    const handled = new Set(records);
    this.#unwritten = this.#unwritten.filter((record) => !handled.has(record));
  }
}
