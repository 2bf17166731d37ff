// load, run: looks at the figures of the daemon once a second, on the clock of the run. A look that takes longer than its
// timeout brings nothing, and the next one is not made while it lasts.

import type { VolantClient } from '../../client/client.ts';
import { resolveEndpoint } from '../../client/transport.ts';
import { monotonicMs, sleepUntil } from '../generator/clock.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import type { DaemonFigure } from '../report/run-report.ts';
import { type DaemonReading, type FigureSource, WANTED_FIGURES } from './daemon-figures.ts';
import { type MetricSample, parseMetrics } from './prometheus.ts';
import type { Target } from './target.ts';

/** In the middle of a second: the generator processes report at its start, and both together would delay requests. */
const OFFSET_MS = 500;

export class DaemonSampler {
  readonly #client: VolantClient;
  readonly #target: Target;
  readonly #stop = new AbortController();
  /** Why a source brought nothing last. */
  readonly #problems = new Map<FigureSource, string>();
  readonly #found = new Set<string>();
  #loop: Promise<void> = Promise.resolve();

  constructor(client: VolantClient, target: Target) {
    this.#client = client;
    this.#target = target;
  }

  /** From this moment of the monotonic clock on. `onValues` gets the number of the second. */
  start(beginMs: number, onValues: (second: number, values: Record<string, number>) => void): void {
    this.#loop = this.#run(beginMs, onValues);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  figures(): DaemonFigure[] {
    return WANTED_FIGURES.map(({ name, description, kind, source, of }) => ({
      name,
      description,
      kind,
      source,
      missing: this.#found.has(name)
        ? null
        : (this.#problems.get(of) ?? 'The daemon does not have this figure'),
    }));
  }

  async #run(
    beginMs: number,
    onValues: (second: number, values: Record<string, number>) => void,
  ): Promise<void> {
    const { signal } = this.#stop;
    for (let second = 0; !signal.aborted; ) {
      await sleepUntil(beginMs + second * 1000 + OFFSET_MS, signal);
      if (signal.aborted) return;
      const values = await this.#look();
      onValues(second, values);
      second = Math.max(second + 1, Math.ceil((monotonicMs() - beginMs - OFFSET_MS) / 1000));
    }
  }

  async #look(): Promise<Record<string, number>> {
    const signal = AbortSignal.any([
      this.#stop.signal,
      AbortSignal.timeout(LOAD_LIMITS.daemonSampleTimeoutMs),
    ]);
    const [status, info, metrics] = await Promise.all([
      this.#ask('status', signal, () => this.#client.system.status({ signal })),
      this.#ask('info', signal, () => this.#client.system.info({ signal })),
      this.#ask('metrics', signal, () => this.#readMetrics(signal)),
    ]);
    const reading: DaemonReading = { status, info, metrics };
    const values: Record<string, number> = {};
    for (const { name, read } of WANTED_FIGURES) {
      const value = read(reading);
      if (value === undefined || !Number.isFinite(value)) continue;
      values[name] = value;
      this.#found.add(name);
    }
    return values;
  }

  async #ask<T>(
    source: FigureSource,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      const value = await work();
      this.#problems.delete(source);
      return value;
    } catch (error) {
      const why = signal.aborted ? 'The daemon did not answer in time' : String(error);
      this.#problems.set(source, why);
      return undefined;
    }
  }

  async #readMetrics(signal: AbortSignal): Promise<MetricSample[]> {
    const { url, apiKey, ca } = this.#target;
    const { fetch, httpOrigin } = resolveEndpoint(url, undefined, ca ?? undefined);
    const headers: Record<string, string> =
      apiKey === null ? {} : { Authorization: `Bearer ${apiKey}` };
    const answer = await fetch(`${httpOrigin}/metrics`, { method: 'GET', headers, signal });
    if (answer.status !== 200) {
      await answer.body?.cancel();
      throw new Error(`GET /metrics is answered with ${answer.status}`);
    }
    let [text, bytes] = ['', 0];
    const decoder = new TextDecoder();
    for await (const chunk of answer.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > LOAD_LIMITS.metricsBytesMax) throw new Error('The metrics are too long');
      text += decoder.decode(chunk, { stream: true });
    }
    return parseMetrics(text);
  }
}
