// workers, main-thread side: which tap is on which bridge. A shard is made when its first tap comes and
// removed when its last one goes; what happens to one shard happens one after the other.

import { LIMITS } from '../config.ts';
import type { NetworkSpec } from '../engine/network-ports.ts';
import type { HostSettings, Run } from './protocol.ts';

/** Above every shard that a subnet can have. */
const FIRST_WITHOUT_ADDRESSES = 100_000;

/** Shard 0, the first bridge itself, is not ours to make or remove. */
export class Shards {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #taps = new Map<number, Set<string>>();
  readonly #made = new Set<number>();
  #finding: Promise<void> = Promise.resolve();
  /** The last thing that happens to each. */
  readonly #work = new Map<number, Promise<unknown>>();

  constructor(settings: HostSettings, run: Run) {
    this.#settings = settings;
    this.#run = run;
  }

  /** Looks which there are, each of which is made complete with its next tap. Those that nobody uses are removed. */
  find(): Promise<void> {
    this.#finding = this.#find();
    return this.#finding;
  }

  async #find(): Promise<void> {
    const found = await this.#run('findShards', { settings: this.#settings });
    this.#made.clear();
    for (const { shard, tapNames } of found) {
      const taps = this.#tapsOf(shard);
      for (const tapName of tapNames) taps.add(tapName);
    }
    await Promise.all(found.map(({ shard }) => this.#removeUnused(shard)));
  }

  /** They may be gone: each is looked at before it is used again. */
  forget(): void {
    this.#made.clear();
  }

  /**
   * Resolves with a shard that is there, and stays until the tap is released. null: the lowest one with room
   * among those of guests whose address is not known.
   */
  async take(spec: NetworkSpec, tapName: string, wanted: number | null): Promise<number> {
    const shard = wanted ?? this.#shardOf(tapName) ?? this.#lowestWithRoom();
    if (shard === 0) return 0;
    this.#tapsOf(shard).add(tapName);
    await this.#next(shard, async () => {
      if (this.#made.has(shard)) return;
      await this.#run('ensureShard', { settings: this.#settings, spec, shard });
      this.#made.add(shard);
    });
    return shard;
  }

  /** Makes what is missing of a shard that is there. */
  async mend(spec: NetworkSpec, shard: number): Promise<void> {
    await this.#next(shard, async () => {
      await this.#run('ensureShard', { settings: this.#settings, spec, shard });
      this.#made.add(shard);
    });
  }

  /** The tap is gone. One that is on no shard is fine. */
  async release(tapName: string): Promise<void> {
    // What it sees may be older than the tap's end. Whoever looks is told when that fails.
    await this.#finding.catch(() => undefined);
    const shard = this.#shardOf(tapName);
    if (shard === null) return;
    this.#tapsOf(shard).delete(tapName);
    await this.#removeUnused(shard);
  }

  async #removeUnused(shard: number): Promise<void> {
    await this.#next(shard, async () => {
      const taps = this.#taps.get(shard);
      if (taps === undefined || taps.size > 0) return;
      this.#taps.delete(shard);
      this.#made.delete(shard);
      await this.#run('removeShard', { settings: this.#settings, shard });
    });
  }

  #next(shard: number, work: () => Promise<void>): Promise<void> {
    const before = this.#work.get(shard) ?? Promise.resolve();
    const next = before.then(work, work);
    this.#work.set(shard, next);
    const forget = () => {
      if (this.#work.get(shard) === next) this.#work.delete(shard);
    };
    next.then(forget, forget);
    return next;
  }

  #tapsOf(shard: number): Set<string> {
    const known = this.#taps.get(shard);
    if (known !== undefined) return known;
    const taps = new Set<string>();
    this.#taps.set(shard, taps);
    return taps;
  }

  #shardOf(tapName: string): number | null {
    for (const [shard, taps] of this.#taps) if (taps.has(tapName)) return shard;
    return null;
  }

  #lowestWithRoom(): number {
    let shard = FIRST_WITHOUT_ADDRESSES;
    while ((this.#taps.get(shard)?.size ?? 0) >= LIMITS.bridgeTapsMax) shard += 1;
    return shard;
  }
}
