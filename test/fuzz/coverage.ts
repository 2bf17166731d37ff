// fuzz: which ways through our own code a run has taken, as V8 counts them for debuggers.

import { type Profiler, Session } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** What is compiled of src/. */
const SOURCES = fileURLToPath(new URL('../../src/', import.meta.url));

/** A function with more ways than this is not looked at more closely. */
const WAYS_MAX = 64;

export class Coverage {
  readonly #session = new Session();
  /** By function: the ways through it that are known. */
  readonly #known = new Map<string, Set<string>>();

  constructor() {
    this.#session.connect();
    this.#post('Profiler.enable');
    this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** How many ways are known. */
  get ways(): number {
    return [...this.#known.values()].reduce((sum, ways) => sum + ways.size, 0);
  }

  /** The ways that were taken since the last call and were not known; with `learn` they are from now on. */
  take(learn: boolean): number {
    const { result } = this.#post(
      'Profiler.takePreciseCoverage',
    ) as Profiler.TakePreciseCoverageReturnType;
    let found = 0;
    for (const { url, functions } of result) {
      if (!url.startsWith('file:') || !fileURLToPath(url).startsWith(SOURCES)) continue;
      for (const { functionName, ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const name = `${url} ${functionName} ${whole.startOffset}`;
        const left = ranges.filter(({ count }) => count === 0);
        const way = left.map(({ startOffset, endOffset }) => `${startOffset}-${endOffset}`).join();
        const ways = this.#known.get(name) ?? new Set<string>();
        if (ways.has(way) || ways.size >= WAYS_MAX) continue;
        found += 1;
        if (learn) this.#known.set(name, ways.add(way));
      }
    }
    return found;
  }

  close(): void {
    this.#session.disconnect();
  }

  /** A session of the own thread answers before this returns. */
  #post(method: string, params?: object): unknown {
    let answer: unknown;
    this.#session.post(method, params, (error: Error | null, result?: object) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  }
}
