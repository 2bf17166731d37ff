// load, generator: what one generator process does between its order and its end: it runs the phases, reports what it measures
// once a second, and reports at the end whether it had time for its work.

import { setMaxListeners } from 'node:events';
import { createClient, type VolantClient } from '../../client/client.ts';
import { Cancelled } from '../measure/outcomes.ts';
import { monotonicMs } from './clock.ts';
import { FlowRunner } from './flow-runner.ts';
import { HealthMonitor } from './health.ts';
import type { FromGenerator, GeneratorOrder } from './protocol.ts';
import { RawFile } from './raw-file.ts';
import { Recorder } from './recorder.ts';
import { runPhases } from './schedule.ts';
import { warmUp } from './warm-up.ts';

const REPORT_INTERVAL_MS = 1_000;

export class Generator {
  readonly #order: GeneratorOrder;
  readonly #send: (message: FromGenerator) => void;
  readonly #stop = new AbortController();
  readonly #cancel = new AbortController();
  readonly #client: VolantClient;
  readonly #raw: RawFile | null;
  #drain: NodeJS.Timeout | undefined;
  #cancelAtMs = Number.POSITIVE_INFINITY;

  constructor(order: GeneratorOrder, send: (message: FromGenerator) => void) {
    this.#order = order;
    this.#send = send;
    const { url, apiKey, ca } = order;
    this.#client = createClient({
      baseUrl: url,
      // A refusal is a result, and is not to be hidden by another try.
      retry: { attemptsMax: 1 },
      ...(apiKey === null ? {} : { apiKey }),
      ...(ca === null ? {} : { ca }),
    });
    this.#raw = order.rawFile === null ? null : new RawFile(order.rawFile, order.index);
    // Every call that runs listens to them.
    setMaxListeners(0, this.#stop.signal, this.#cancel.signal);
  }

  /** Resolves when its code is compiled as far as that takes requests. */
  prepare(): Promise<void> {
    return warmUp(this.#client);
  }

  /**
   * Runs all phases; the first one begins at this moment of the monotonic clock, `sinceRunMs` after the start of the whole run.
   * Resolves when everything was reported. Rejects if the raw lines could not be written.
   */
  async run(beginMs: number, sinceRunMs: number): Promise<void> {
    const { scenario } = this.#order;
    const recorder = new Recorder(scenario.phases, scenario.generator.lateMs);
    const parts = { order: this.#order, recorder, beginMs };
    const runner = new FlowRunner({
      ...parts,
      client: this.#client,
      raw: this.#raw,
      sinceRunMs,
      signal: this.#cancel.signal,
    });
    const health = new HealthMonitor(scenario.generator.lateMs);
    const report = (beforeSecond: number) =>
      this.#send({
        kind: 'windows',
        upToSecond: beforeSecond,
        ...recorder.takeBefore(beforeSecond),
        inFlight: runner.inFlight,
      });
    const timer = setInterval(
      () => report(Math.max(0, Math.floor((monotonicMs() - beginMs) / 1000))),
      REPORT_INTERVAL_MS,
    );
    const plannedMs = scenario.phases.reduce((sum, { durationMs }) => sum + durationMs, 0);
    this.#cancelAt(beginMs + plannedMs + scenario.drainMs);
    try {
      await runPhases({ ...parts, runner, stopped: this.#stop.signal });
      await this.#raw?.close();
    } finally {
      clearInterval(timer);
      clearTimeout(this.#drain);
      health.close();
    }
    report(Math.ceil((monotonicMs() - beginMs) / 1000) + 1);
    const { index } = this.#order;
    const { starts, lateStarts } = recorder;
    this.#send({
      kind: 'finished',
      health: { index, pid: process.pid, ...health.report(), starts, lateStarts },
      rawLinesLost: this.#raw?.linesLost ?? 0,
    });
  }

  /** Starts nothing more, and cancels after this time what still runs. */
  end(drainMs: number): void {
    this.#stop.abort();
    this.#cancelAt(monotonicMs() + drainMs);
  }

  /** The earliest of several moments counts. */
  #cancelAt(atMs: number): void {
    if (atMs >= this.#cancelAtMs) return;
    this.#cancelAtMs = atMs;
    clearTimeout(this.#drain);
    this.#drain = setTimeout(() => this.#cancel.abort(new Cancelled()), atMs - monotonicMs());
  }
}
