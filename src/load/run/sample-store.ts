// load, run: the samples of a run by time. Their number is bounded: when there are too many, two and two become one of twice
// the length.

import { LOAD_LIMITS } from '../load-limits.ts';
import { Tally } from '../measure/tally.ts';
import type { Sample } from '../report/run-report.ts';

/** A sample while it is collected. */
export interface OpenSample {
  started: number;
  /** Steps; of flows the starts that were skipped. */
  readonly tally: Tally;
  inFlight: number;
  lateMsMax: number;
  daemon: Readonly<Record<string, number>>;
}

export class SampleStore {
  #samples: OpenSample[] = [];
  #seconds = 1;

  get intervalMs(): number {
    return this.#seconds * 1000;
  }

  /** The sample with this second of the run. Those before it exist then, too. */
  at(second: number): OpenSample {
    while (Math.floor(second / this.#seconds) >= LOAD_LIMITS.samplesMax) this.#halve();
    const index = Math.floor(second / this.#seconds);
    while (this.#samples.length <= index) this.#samples.push(emptySample());
    const sample = this.#samples[index];
    if (sample === undefined) throw new RangeError(`There is no second ${second}`);
    return sample;
  }

  samples(phaseAt: (atMs: number) => string | null): Sample[] {
    return this.#samples.map((sample, index) => {
      const atMs = index * this.intervalMs;
      return closedSample(sample, atMs, phaseAt(atMs));
    });
  }

  #halve(): void {
    const halved: OpenSample[] = [];
    for (let index = 0; index < this.#samples.length; index += 2) {
      const [one, other] = [this.#samples[index], this.#samples[index + 1]];
      if (one === undefined) continue;
      if (other !== undefined) merge(one, other);
      halved.push(one);
    }
    this.#samples = halved;
    this.#seconds *= 2;
  }
}

function merge(one: OpenSample, later: OpenSample): void {
  one.started += later.started;
  one.tally.add(later.tally.data());
  one.inFlight = later.inFlight;
  one.lateMsMax = Math.max(one.lateMsMax, later.lateMsMax);
  one.daemon = { ...one.daemon, ...later.daemon };
}

export function emptySample(): OpenSample {
  return { started: 0, tally: new Tally(), inFlight: 0, lateMsMax: 0, daemon: {} };
}

export function closedSample(sample: OpenSample, atMs: number, phase: string | null): Sample {
  const { started, tally, inFlight, lateMsMax, daemon } = sample;
  return {
    atMs,
    phase,
    started,
    done: tally.count,
    succeeded: tally.latency.count,
    errors: tally.errors,
    refusals: tally.refusals,
    skipped: tally.skipped,
    inFlight,
    latency: tally.latency.summary(),
    lateMsMax,
    daemon,
  };
}
