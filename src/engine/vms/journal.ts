// engine, vms: what was done for each VM, why, and how long it took: for whoever wonders afterwards. It is written down a
// little later and never waited for: nothing depends on it.

import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { Cause, OperationKind, OperationRecord, OperationStep } from '../records.ts';
import type { State } from '../state.ts';
import type { Write } from '../store-ports.ts';

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
  /** Of the last operation of each VM that had one since the daemon was started. */
  readonly #lastNumbers = new Map<number, number>();
  #unwritten: OperationRecord[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** Something is wanted of the VM. What was under way for it ends as superseded. */
  begin(vmId: number, kind: OperationKind, cause: Cause): void {
    this.#close(vmId, 'superseded');
    this.#open(vmId, kind, cause);
  }

  /** A step was taken, for this cause where there is no wish before it: an end, a start of the daemon, a difference. */
  took(vmId: number, step: string, durationMs: number, error: unknown, unasked: Cause): void {
    const known = this.#current.get(vmId);
    // Each start of a daemon looks at every VM: what finds nothing to do is not worth a line.
    if (known === undefined && step === 'look' && error === null) return;
    const current = known ?? this.#open(vmId, 'reconcile', unasked);
    const message = error === null ? null : textOf(error);
    if (message !== null) current.error = message;
    const last = current.steps.at(-1);
    // One that is tried again and again is one line.
    if (last?.step === step && last.error === message) {
      const times = last.times + 1;
      current.steps[current.steps.length - 1] = { ...last, times, duration_ms: durationMs };
      return;
    }
    if (current.steps.length >= LIMITS.operationStepsMax) current.steps.shift();
    current.steps.push({ step, times: 1, duration_ms: Math.round(durationMs), error: message });
  }

  /** Nothing is left to be done for the VM: `failed`, where what was wanted has not come. */
  settled(vmId: number, hasFailed: boolean): void {
    this.#close(vmId, hasFailed ? 'failed' : 'done');
  }

  /** The VM is gone, and what was written down of it, too. */
  forget(vmId: number): void {
    this.#current.delete(vmId);
    this.#lastNumbers.delete(vmId);
    this.#unwritten = this.#unwritten.filter((record) => record.vmId !== vmId);
  }

  /** Newest first; what is under way comes before all others. */
  of(vmId: number): readonly OperationRecord[] {
    const current = this.#current.get(vmId);
    const unwritten = this.#unwritten.filter((record) => record.vmId === vmId).toReversed();
    const stored = this.#parts.state.store.operations(vmId, LIMITS.operationsKeptPerVmMax);
    const known = [...unwritten, ...stored].slice(0, LIMITS.operationsKeptPerVmMax);
    return current === undefined ? known : [this.#recordOf(vmId, current, null), ...known];
  }

  /** Writes down what is not yet. */
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
    this.#unwritten.push(this.#recordOf(vmId, current, outcome));
    this.#timer ??= setTimeout(() => void this.#write(), LIMITS.operationWriteMs).unref();
  }

  #recordOf(
    vmId: number,
    { steps, error, ...begun }: Current,
    outcome: OperationRecord['outcome'],
  ): OperationRecord {
    const endedAtMs = outcome === null ? null : this.#parts.clock.nowMs();
    // A step that went well in the end was no failure.
    const why = outcome === 'done' ? null : error;
    return { vmId, ...begun, endedAtMs, outcome, error: why, steps: [...steps] };
  }

  #numberOf(vmId: number, kind: OperationKind): number {
    const { store } = this.#parts.state;
    // Of a new VM nothing is stored.
    const stored = () => (kind === 'create' ? 0 : (store.operations(vmId, 1)[0]?.number ?? 0));
    const last = this.#lastNumbers.get(vmId) ?? stored();
    this.#lastNumbers.set(vmId, last + 1);
    return last + 1;
  }

  async #write(): Promise<void> {
    this.#timer = undefined;
    const records = this.#unwritten;
    const { state, log } = this.#parts;
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
    if (writes.length === 0) {
      this.#unwritten = [];
      return;
    }
    try {
      await state.commit(writes, []);
    } catch (error) {
      // Where the disk is full nothing else is written down either; these are the first to go without.
      log.warn({ err: error }, 'what was done for VMs could not be written down');
    }
    this.#unwritten = this.#unwritten.filter((record) => !records.includes(record));
  }
}

function textOf(error: unknown): string {
  return error instanceof VolantError ? error.message : 'an internal error';
}
