// fuzz: runs a target on known inputs and on changed ones, and keeps those that took a new way. Who watches over
// time and memory is run.ts.

import { Coverage } from './coverage.ts';
import { mutate, Random } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

/** Coverage costs more than an input: it is asked for so many together. */
const BATCH = 48;

const SHRINK_TRIES_MAX = 4_000;

export interface Finding {
  readonly input: Buffer;
  readonly error: Error;
}

export interface FuzzOptions {
  readonly seed: number;
  readonly corpus: readonly Buffer[];
  /** Whether to continue after so many runs. */
  readonly goesOn: (runs: number) => boolean;
  /** Called before each run. */
  readonly onRun?: (input: Buffer) => void;
  /** Without it inputs are only changed, which is faster and the same on each version of Node. */
  readonly guided: boolean;
}

export interface FuzzResult {
  readonly runs: number;
  readonly finding: Finding | null;
  /** Ways through the code that the corpus took, and those that were found besides. */
  readonly ways: number;
  readonly newWays: number;
  /** The corpus and what took new ways. */
  readonly inputs: readonly Buffer[];
}

/** Resolves at the first finding, too. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const runner = new Runner(target, options);
  try {
    return await runner.runAll();
  } finally {
    runner.close();
  }
}

class Runner {
  readonly #target: FuzzTarget;
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #inputs: Buffer[] = [];
  readonly #coverage: Coverage | null;
  #runs = 0;

  constructor(target: FuzzTarget, options: FuzzOptions) {
    this.#target = target;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#coverage = options.guided ? new Coverage() : null;
  }

  close(): void {
    this.#coverage?.close();
  }

  async runAll(): Promise<FuzzResult> {
    let finding: Finding | null = null;
    for (const input of this.#options.corpus) {
      finding ??= await this.#run(input);
      this.#coverage?.take(true);
      this.#inputs.push(input);
    }
    if (this.#inputs.length === 0) this.#inputs.push(Buffer.alloc(0));
    const ways = this.#coverage?.ways ?? 0;
    while (finding === null && this.#options.goesOn(this.#runs)) finding = await this.#runBatch();
    const newWays = (this.#coverage?.ways ?? 0) - ways;
    if (finding !== null) finding = await this.#shrunk(finding);
    return { runs: this.#runs, finding, ways, newWays, inputs: this.#inputs };
  }

  async #runBatch(): Promise<Finding | null> {
    const batch = Array.from({ length: BATCH }, () =>
      mutate(
        this.#random,
        this.#random.pick(this.#inputs),
        this.#random.pick(this.#inputs),
        this.#target,
      ),
    );
    for (const input of batch) {
      const finding = await this.#run(input);
      if (finding !== null) return finding;
    }
    if (this.#coverage === null || this.#coverage.take(false) === 0) return null;
    // One of them took a new way: which one is seen when each runs alone.
    for (const input of batch) {
      const finding = await this.#run(input);
      if (finding !== null) return finding;
      if (this.#coverage.take(true) > 0) this.#inputs.push(input);
    }
    return null;
  }

  async #run(input: Buffer): Promise<Finding | null> {
    this.#runs += 1;
    this.#options.onRun?.(input);
    try {
      await this.#target.run(input);
      return null;
    } catch (error) {
      return { input, error: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  /** A shorter input with the same message. */
  async #shrunk(finding: Finding): Promise<Finding> {
    let smallest = finding;
    let tries = 0;
    for (
      let length = Math.ceil(finding.input.length / 2);
      length > 0;
      length = Math.floor(length / 2)
    ) {
      for (let at = 0; at < smallest.input.length && tries < SHRINK_TRIES_MAX; tries += 1) {
        const { input } = smallest;
        const shorter = Buffer.concat([input.subarray(0, at), input.subarray(at + length)]);
        const again = await this.#run(shorter);
        if (again?.error.message === finding.error.message) smallest = again;
        else at += length;
      }
    }
    return smallest;
  }
}

/** The shortest inputs that together take all the ways that all of them take. */
export async function minimal(
  target: FuzzTarget,
  inputs: readonly Buffer[],
  bytesMax: number,
): Promise<Buffer[]> {
  const coverage = new Coverage();
  const kept: Buffer[] = [];
  const short = inputs.filter((input) => input.length <= bytesMax);
  for (const input of short.sort((one, other) => one.length - other.length)) {
    await target.run(input);
    if (coverage.take(true) > 0) kept.push(input);
  }
  coverage.close();
  return kept;
}
