// host, network: which tap is on which secondary bridge. Bridges are numbered; 0 is the first
// bridge. It is created with its first tap, and removed some time after its last one: it takes longer to remove a bridge
// than to delete a VM, and the next VM may need it again. Operations on one bridge run one after the other. The kernel's
// objects are made by jobs/network/secondary-bridges.ts.

import { LIMITS } from '../../config/limits.ts';
import type { NetworkSpec } from '../../engine/ports/network-ports.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { HostSettings, Run } from '../jobs/protocol.ts';

/** Numbers of bridges for guests without a known address start here, above every number that a subnet can have. */
const FIRST_WITHOUT_ADDRESSES = 100_000;

/**
 * Creates and removes secondary bridges as taps come and go. The first bridge, number 0, is not created or removed
 * here.
 */
export class TapPlacement {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #log: Logger;
  readonly #unusedMs: number;
  readonly #taps = new Map<number, Set<string>>();
  readonly #made = new Set<number>();
  #finding: Promise<void> = Promise.resolve();
  /** The last operation on each bridge. */
  readonly #work = new Map<number, Promise<unknown>>();
  /** Removals that are due, by bridge. */
  readonly #due = new Map<number, NodeJS.Timeout>();
  #isClosed = false;

  /** `unusedMs`: how long a bridge without taps is kept. */
  constructor(settings: HostSettings, run: Run, log: Logger, unusedMs: number) {
    this.#settings = settings;
    this.#run = run;
    this.#log = log;
    this.#unusedMs = unusedMs;
  }

  /** Removes no more. The next daemon finds bridges without taps. */
  close(): void {
    this.#isClosed = true;
    for (const timer of this.#due.values()) clearTimeout(timer);
    this.#due.clear();
  }

  /**
   * Finds the secondary bridges that exist, and removes those without taps. The next tap completes a bridge that
   * lacks parts.
   */
  find(): Promise<void> {
    this.#finding = this.#find();
    return this.#finding;
  }

  async #find(): Promise<void> {
    const found = await this.#run('findSecondaryBridges', { settings: this.#settings });
    this.#made.clear();
    for (const { bridgeNumber, tapNames } of found) {
      const taps = this.#tapsOf(bridgeNumber);
      for (const tapName of tapNames) taps.add(tapName);
    }
    await Promise.all(found.map(({ bridgeNumber }) => this.#removeUnused(bridgeNumber)));
  }

  /** Makes take() check each bridge again before its next use, because it may be gone. */
  forget(): void {
    this.#made.clear();
  }

  /**
   * Resolves with the number of a bridge that exists, and stays until the tap is released. `wanted` is null for a
   * guest whose address is unknown: it gets the lowest number that is not full.
   */
  async take(spec: NetworkSpec, tapName: string, wanted: number | null): Promise<number> {
    const bridgeNumber = wanted ?? this.#bridgeNumberOf(tapName) ?? this.#lowestNotFull();
    if (bridgeNumber === 0) return 0;
    this.#tapsOf(bridgeNumber).add(tapName);
    await this.#next(bridgeNumber, async () => {
      if (this.#made.has(bridgeNumber)) return;
      await this.#run('ensureSecondaryBridge', { settings: this.#settings, spec, bridgeNumber });
      this.#made.add(bridgeNumber);
    });
    return bridgeNumber;
  }

  /** Creates what is missing of a bridge. */
  async mend(spec: NetworkSpec, bridgeNumber: number): Promise<void> {
    await this.#next(bridgeNumber, async () => {
      await this.#run('ensureSecondaryBridge', { settings: this.#settings, spec, bridgeNumber });
      this.#made.add(bridgeNumber);
    });
  }

  /** Forgets a tap that was removed. Its bridge is removed later when that was the last one. An unknown tap is no error. */
  async release(tapName: string): Promise<void> {
    // The search may have seen the tap before its removal. The caller of find() gets its error.
    await this.#finding.catch(() => undefined);
    const bridgeNumber = this.#bridgeNumberOf(tapName);
    if (bridgeNumber === null) return;
    const taps = this.#tapsOf(bridgeNumber);
    taps.delete(tapName);
    if (taps.size === 0) this.#removeLater(bridgeNumber);
  }

  /** A bridge that is in use again by then stays. */
  #removeLater(bridgeNumber: number): void {
    if (this.#isClosed || this.#due.has(bridgeNumber)) return;
    const remove = async () => {
      this.#due.delete(bridgeNumber);
      try {
        await this.#removeUnused(bridgeNumber);
      } catch (error) {
        this.#log.warn({ bridgeNumber, err: error }, 'a bridge without taps could not be removed');
        this.#removeLater(bridgeNumber);
      }
    };
    this.#due.set(bridgeNumber, setTimeout(() => void remove(), this.#unusedMs).unref());
  }

  async #removeUnused(bridgeNumber: number): Promise<void> {
    await this.#next(bridgeNumber, async () => {
      const taps = this.#taps.get(bridgeNumber);
      if (taps === undefined || taps.size > 0) return;
      this.#made.delete(bridgeNumber);
      await this.#run('removeSecondaryBridge', { settings: this.#settings, bridgeNumber });
      // Another tap may have come meanwhile: its bridge is made after this.
      if (taps.size === 0) this.#taps.delete(bridgeNumber);
    });
  }

  #next(bridgeNumber: number, work: () => Promise<void>): Promise<void> {
    const before = this.#work.get(bridgeNumber) ?? Promise.resolve();
    const next = before.then(work, work);
    this.#work.set(bridgeNumber, next);
    const forget = () => {
      if (this.#work.get(bridgeNumber) === next) this.#work.delete(bridgeNumber);
    };
    next.then(forget, forget);
    return next;
  }

  #tapsOf(bridgeNumber: number): Set<string> {
    const known = this.#taps.get(bridgeNumber);
    if (known !== undefined) return known;
    const taps = new Set<string>();
    this.#taps.set(bridgeNumber, taps);
    return taps;
  }

  #bridgeNumberOf(tapName: string): number | null {
    for (const [bridgeNumber, taps] of this.#taps) if (taps.has(tapName)) return bridgeNumber;
    return null;
  }

  #lowestNotFull(): number {
    let bridgeNumber = FIRST_WITHOUT_ADDRESSES;
    while ((this.#taps.get(bridgeNumber)?.size ?? 0) >= LIMITS.bridgeTapsMax) bridgeNumber += 1;
    return bridgeNumber;
  }
}
