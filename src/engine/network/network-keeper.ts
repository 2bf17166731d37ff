// engine, network: looks at the host's network again and again and puts in line what differs from what is wanted: at the
// start, soon after the kernel has told of a loss, and once a minute, for not everything is told. One look at a time.

import { LIMITS } from '../../config.ts';
import { within } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';
import { vmIdOfTap } from '../identity.ts';
import type { HostLedger, NetworkHost, WantedNetwork } from '../network-ports.ts';
import { keyOf, type NetworkDifference, networkDifferences } from './differences.ts';
import type { DriftNews } from './drift-news.ts';
import { mendingOf } from './mending.ts';

export interface NetworkKeeperParts {
  readonly host: Pick<NetworkHost, 'lookAtNetwork' | 'mendNetwork' | 'watchNetwork'>;
  /** As it should be at this moment. */
  readonly wanted: () => WantedNetwork;
  /** The VM's hypervisor was seen to run, and not to end. */
  readonly isAlive: (vmId: number) => boolean;
  /** Tells the kernel again of host ports that it did not take. */
  readonly retryPorts: () => Promise<void>;
  readonly ledger: HostLedger;
  readonly news: Pick<DriftNews, 'tell'>;
  readonly log: Logger;
}

/** What a look finds; null where the network was being made anew meanwhile. */
export type NetworkLook = readonly NetworkDifference[] | null;

export class NetworkKeeper {
  readonly #parts: NetworkKeeperParts;
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #running: Promise<void> | null = null;
  /** Until the next look. */
  #pauseMs: number = LIMITS.networkLookIntervalMs;
  /** The same, where the last one did not find everything in line in the end. */
  #retryMs: number = LIMITS.networkRetryMinMs;
  /** When something was mended in the last minute. */
  #mendedAtMs: number[] = [];
  #isClosed = false;

  constructor(parts: NetworkKeeperParts) {
    this.#parts = parts;
  }

  /** To be called when all records were looked at: from then on what nobody knows is nobody's. */
  start(): void {
    const { host, wanted, log } = this.#parts;
    try {
      host.watchNetwork(wanted().spec, (tapName) => this.#onLost(tapName));
    } catch (error) {
      log.warn({ err: error }, 'the kernel does not tell of changes: they are found once a minute');
    }
    this.#due(0);
  }

  /** Looks no more, and resolves when a look that is under way has ended, or after its deadline. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (this.#running !== null) await within(this.#running, LIMITS.networkLookTimeoutMs);
  }

  /** What differs, without changing anything. What comes or goes at the moment does not count. */
  async look(): Promise<NetworkLook> {
    const { host, wanted } = this.#parts;
    const before = wanted();
    const seen = await host.lookAtNetwork(before.spec, before.isNeeded);
    if (seen === null) return null;
    const after = wanted();
    // Host ports that changed meanwhile may be seen as they were or as they are.
    const forwards = before.forwards === after.forwards ? after.forwards : null;
    const differences = networkDifferences({ ...after, forwards }, seen);
    if (differences.length === 0) return differences;
    const already = new Set(networkDifferences({ ...before, forwards }, seen).map(keyOf));
    return differences.filter((difference) => already.has(keyOf(difference)));
  }

  /** Puts in line what can be, now. Resolves when that is done, or went wrong: the next look tells. */
  async mend(): Promise<void> {
    // What is under way may have looked already.
    await this.#running;
    this.#begin();
    await this.#running;
  }

  /** A tap is lost with every VM that ends. Who changes things again and again is not fought more often than once a minute. */
  #onLost(tapName: string | null): void {
    if (tapName !== null && !this.#parts.isAlive(vmIdOfTap(tapName))) return;
    const sinceMs = performance.now() - LIMITS.networkLookIntervalMs;
    this.#mendedAtMs = this.#mendedAtMs.filter((atMs) => atMs > sinceMs);
    if (this.#mendedAtMs.length >= LIMITS.networkMendsPerMinuteMax) return;
    this.#due(LIMITS.networkLookDelayMs);
  }

  /** Looks after so long, or before: what comes meanwhile shares the look. */
  #due(delayMs: number): void {
    const dueAtMs = performance.now() + delayMs;
    if (this.#isClosed || dueAtMs >= this.#dueAtMs) return;
    this.#dueAtMs = dueAtMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#begin(), delayMs).unref();
  }

  #begin(): void {
    // The one before goes on: it begins the next one when it ends.
    if (this.#running !== null) return;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#running = this.#round().finally(() => {
      this.#running = null;
      const waitedMs = this.#dueAtMs - performance.now();
      this.#dueAtMs = Number.POSITIVE_INFINITY;
      this.#due(Math.min(Math.max(0, waitedMs), this.#pauseMs));
    });
    void this.#tellIfSlow(this.#running);
  }

  /** Never rejects. */
  async #round(): Promise<void> {
    const { log } = this.#parts;
    let isInLine = false;
    try {
      await this.#parts.retryPorts();
      isInLine = await this.#putInLine();
    } catch (error) {
      log.error({ err: error }, "the guests' network could not be looked at");
    }
    const { networkRetryMinMs, networkLookIntervalMs } = LIMITS;
    this.#pauseMs = isInLine ? networkLookIntervalMs : this.#retryMs;
    this.#retryMs = isInLine
      ? networkRetryMinMs
      : Math.min(this.#retryMs * 2, networkLookIntervalMs);
  }

  /** false: it has to be looked at again soon. */
  async #putInLine(): Promise<boolean> {
    const { host, wanted, isAlive, ledger, news, log } = this.#parts;
    const all = await this.look();
    if (all === null) return false;
    const found = all.filter(({ remedy }) => remedy !== 'restart-vm');
    const wish = wanted();
    const mending = mendingOf(wish, found);
    if (mending === null || this.#isClosed) {
      news.tell([], all);
      return true;
    }
    try {
      await host.mendNetwork(wish.spec, mending, ledger);
    } catch (error) {
      log.error({ err: error }, "something of the guests' network could not be mended");
    }
    const left = await this.look();
    if (left === null) return false;
    const still = new Set(left.map(keyOf));
    const mended = found.filter(
      (difference) =>
        // Of a VM that ended meanwhile nothing was mended.
        !still.has(keyOf(difference)) && (difference.vmId === null || isAlive(difference.vmId)),
    );
    if (mended.length > 0) this.#mendedAtMs.push(performance.now());
    news.tell(mended, left);
    return left.every(({ remedy }) => remedy === 'restart-vm');
  }

  async #tellIfSlow(round: Promise<void>): Promise<void> {
    const isOver = round.then(() => true);
    if ((await within(isOver, LIMITS.networkLookTimeoutMs)) === true) return;
    this.#parts.log.error({}, "a look at the guests' network does not come back");
  }
}
