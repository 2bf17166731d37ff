// http, exchange: counts requests by operation and status, and how long they took until their answer was complete. It is on
// the way of every request, so counting one costs little more than reading the clock.

import type { Family, Sample } from '../../lib/metrics/family.ts';
import { labelsOf } from '../../lib/metrics/family.ts';
import { HistogramCell } from '../../lib/metrics/instruments.ts';

/** From a read, which is answered at once, to a stop that waits for its guest. */
const DURATION_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30,
];

/** Requests for paths of no operation, and those that were refused before their operation was looked for. */
export const NO_OPERATION = 'none';

/** The requests of one operation. */
export class OperationRequests {
  readonly operation: string;
  readonly durations = new HistogramCell(DURATION_SECONDS);
  /** By status: 100 to 999, because those of guests are passed on. */
  readonly #codes = new Map<number, number>();
  #aborted = 0;

  constructor(operation: string) {
    this.operation = operation;
  }

  /** A complete answer. `startedMs` is monotonic. */
  answered(status: number, startedMs: number): void {
    this.untimed(status);
    this.durations.observe((performance.now() - startedMs) / 1000);
  }

  /** A complete answer whose duration says nothing: it depends on its reader, or nothing was done. */
  untimed(status: number): void {
    this.#codes.set(status, (this.#codes.get(status) ?? 0) + 1);
  }

  /** The client disconnected before it had an answer. */
  aborted(): void {
    this.#aborted += 1;
  }

  *counts(): Iterable<readonly [code: string, count: number]> {
    for (const [status, count] of this.#codes) yield [String(status), count];
    if (this.#aborted > 0) yield ['aborted', this.#aborted];
  }
}

export class RequestMeter {
  readonly #operations = new Map<string, OperationRequests>();

  of(operation: string): OperationRequests {
    const known = this.#operations.get(operation);
    if (known !== undefined) return known;
    const made = new OperationRequests(operation);
    this.#operations.set(operation, made);
    return made;
  }

  families(): readonly Family[] {
    const operations = this.#operations;
    return [
      {
        name: 'volant_http_requests',
        help: 'Requests by operation of the API and status, or aborted if the client disconnected before',
        type: 'counter',
        labels: ['operation', 'code'],
        *samples(): Iterable<Sample> {
          for (const requests of operations.values()) {
            for (const [code, count] of requests.counts()) {
              const labels = labelsOf(['operation', 'code'], [requests.operation, code]);
              yield ['_total', labels, count];
            }
          }
        },
      },
      {
        name: 'volant_http_request_duration_seconds',
        help: 'Time until the answer was complete, by operation of the API; without streams',
        type: 'histogram',
        labels: ['operation'],
        *samples(): Iterable<Sample> {
          for (const { operation, durations } of operations.values()) {
            if (durations.count > 0) yield* durations.samples(labelsOf(['operation'], [operation]));
          }
        },
      },
    ];
  }
}
