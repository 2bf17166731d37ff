// engine, vms: counts operations on VMs and their steps.

import type { Family } from '../../lib/metrics/family.ts';
import { Counter, Histogram } from '../../lib/metrics/instruments.ts';
import { OPERATION_KINDS } from '../../schema/vm.ts';
import type { OperationKind, OperationRecord } from '../records.ts';

/** From a record that is written to a guest that needs its whole grace period. */
const STEP_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300];

type Outcome = NonNullable<OperationRecord['outcome']>;

const OUTCOMES: readonly Outcome[] = ['done', 'failed', 'superseded'];

export class OperationMeter {
  readonly #operations = new Counter({
    name: 'volant_operations',
    help: 'Operations on VMs that ended, by kind and outcome',
    labels: ['kind', 'outcome'],
  });
  readonly #steps = new Histogram(
    {
      name: 'volant_step_duration_seconds',
      help: 'Time that the steps of operations took',
      labels: ['step'],
    },
    STEP_SECONDS,
  );
  readonly #failures = new Counter({
    name: 'volant_step_failures',
    help: 'Steps of operations that failed; all but launches are tried again',
    labels: ['step'],
  });

  constructor() {
    // A series that begins with 0 shows its first increase, too.
    for (const kind of OPERATION_KINDS) {
      for (const outcome of OUTCOMES) this.#operations.of(kind, outcome);
    }
  }

  ended(kind: OperationKind, outcome: Outcome): void {
    this.#operations.of(kind, outcome).value += 1;
  }

  took(step: string, durationMs: number, isSuccess: boolean): void {
    this.#steps.of(step).observe(durationMs / 1000);
    if (!isSuccess) this.#failures.of(step).value += 1;
  }

  families(): readonly Family[] {
    return [this.#operations, this.#steps, this.#failures];
  }
}
