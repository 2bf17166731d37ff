// engine, network: the network keeper. Checks the host's network and repairs drift: at the start, soon after the kernel
// reports a loss, and once a minute, because the kernel does not report everything. One check at a time.

import { setImmediate as turn } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';
import { within } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log/log.ts';
import type {
  HostLedger,
  NetworkHost,
  SeenNetwork,
  WantedNetwork,
} from '../ports/network-ports.ts';
import { vmIdOfTap } from '../vm-record/derived-names.ts';
import type { DriftReporter } from './drift-reporter.ts';
import { differencesInParts, keyOf, type NetworkDifference } from './network-differences.ts';
import { repairOf } from './network-repair.ts';

export interface NetworkKeeperParts {
  readonly host: Pick<NetworkHost, 'readNetwork' | 'repairNetwork' | 'watchNetwork'>;
  /** The wanted state of the network at this moment. */
  readonly wanted: () => WantedNetwork;
  /** Whether the VM's hypervisor runs. */
  readonly isAlive: (vmId: number) => boolean;
  /** Applies published ports again whose rules could not be applied. */
  readonly retryPorts: () => Promise<void>;
  readonly ledger: HostLedger;
  readonly reporter: Pick<DriftReporter, 'report'>;
  readonly log: Logger;
}

/** The differences that a check found; null if the network was being rebuilt during the check. */
export type NetworkCheck = readonly NetworkDifference[] | null;

export class NetworkKeeper {
  readonly #parts: NetworkKeeperParts;
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #running: Promise<void> | null = null;
  /** The pause before the next check. */
  #pauseMs: number = LIMITS.networkCheckIntervalMs;
  /** The pause after a check that left differences; it doubles each time. */
  #retryMs: number = LIMITS.networkRetryMinMs;
  /** Times of repairs in the last minute. */
  #repairedAtMs: number[] = [];
  #isClosed = false;

  constructor(parts: NetworkKeeperParts) {
    this.#parts = parts;
  }

  /** Begins the checks. Call it after recovery, when everything without a record is known to have no owner. */
  start(): void {
    const { host, wanted, log } = this.#parts;
    try {
      host.watchNetwork(wanted().spec, (tapName) => this.#onLost(tapName));
    } catch (error) {
      log.warn({ err: error }, 'the kernel does not report changes; they are found once a minute');
    }
    this.#due(0);
  }

  /** Ends the checks. Resolves when the current one has ended, or after its deadline. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (this.#running !== null) await within(this.#running, LIMITS.networkCheckTimeoutMs);
  }

  /** Finds differences without changing anything. What changes during the check does not count. */
  async check(): Promise<NetworkCheck> {
    const { host, wanted } = this.#parts;
    const before = wanted();
    const seen = await host.readNetwork(before.spec, before.isNeeded);
    if (seen === null) return null;
    const after = wanted();
    // Published ports that changed during the check are not compared.
    const forwards = before.forwards === after.forwards ? after.forwards : null;
    const differences = await differencesOf({ ...after, forwards }, seen);
    if (differences.length === 0) return differences;
    const earlier = await differencesOf({ ...before, forwards }, seen);
    const already = new Set(earlier.map(keyOf));
    return differences.filter((difference) => already.has(keyOf(difference)));
  }

  /** Repairs what can be repaired, now. Also resolves if that fails; the next check reports the rest. */
  async repairNow(): Promise<void> {
    // A check in progress may have read the state already.
    await this.#running;
    this.#begin();
    await this.#running;
  }

  /**
   * Checks soon after a loss. Every VM that ends loses its tap, which does not count. Repairs per minute are bounded,
   * so that the keeper does not fight another program.
   */
  #onLost(tapName: string | null): void {
    if (tapName !== null && !this.#parts.isAlive(vmIdOfTap(tapName))) return;
    const sinceMs = performance.now() - LIMITS.networkCheckIntervalMs;
    this.#repairedAtMs = this.#repairedAtMs.filter((atMs) => atMs > sinceMs);
    if (this.#repairedAtMs.length >= LIMITS.networkRepairsPerMinuteMax) return;
    this.#due(LIMITS.networkCheckDelayMs);
  }

  /** Schedules a check after this delay, unless one is due earlier. */
  #due(delayMs: number): void {
    const dueAtMs = performance.now() + delayMs;
    if (this.#isClosed || dueAtMs >= this.#dueAtMs) return;
    this.#dueAtMs = dueAtMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#begin(), delayMs).unref();
  }

  #begin(): void {
    // The current check schedules the next one when it ends.
    if (this.#running !== null) return;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#running = this.#round().finally(() => {
      this.#running = null;
      const waitedMs = this.#dueAtMs - performance.now();
      this.#dueAtMs = Number.POSITIVE_INFINITY;
      this.#due(Math.min(Math.max(0, waitedMs), this.#pauseMs));
    });
    void this.#logIfSlow(this.#running);
  }

  /** Never rejects. */
  async #round(): Promise<void> {
    const { log } = this.#parts;
    let isRepaired = false;
    try {
      await this.#parts.retryPorts();
      isRepaired = await this.#repairDrift();
    } catch (error) {
      log.error({ err: error }, "the guests' network could not be checked");
    }
    const { networkRetryMinMs, networkCheckIntervalMs } = LIMITS;
    this.#pauseMs = isRepaired ? networkCheckIntervalMs : this.#retryMs;
    this.#retryMs = isRepaired
      ? networkRetryMinMs
      : Math.min(this.#retryMs * 2, networkCheckIntervalMs);
  }

  /** Checks and repairs. Resolves to false if another check is needed soon. */
  async #repairDrift(): Promise<boolean> {
    const { host, wanted, isAlive, ledger, reporter, log } = this.#parts;
    const all = await this.check();
    if (all === null) return false;
    const found = all.filter(({ remedy }) => remedy !== 'restart-vm');
    const target = wanted();
    const repair = repairOf(target, found);
    if (repair === null || this.#isClosed) {
      await reporter.report([], all);
      return true;
    }
    try {
      await host.repairNetwork(target.spec, repair, ledger);
    } catch (error) {
      log.error({ err: error }, "the guests' network could not be repaired completely");
    }
    const left = await this.check();
    if (left === null) return false;
    const still = new Set(left.map(keyOf));
    const repaired = found.filter(
      (difference) =>
        // A difference of a VM that has ended was not repaired; it is gone.
        !still.has(keyOf(difference)) && (difference.vmId === null || isAlive(difference.vmId)),
    );
    if (repaired.length > 0) this.#repairedAtMs.push(performance.now());
    await reporter.report(repaired, left);
    return left.every(({ remedy }) => remedy === 'restart-vm');
  }

  async #logIfSlow(round: Promise<void>): Promise<void> {
    const isOver = round.then(() => true);
    if ((await within(isOver, LIMITS.networkCheckTimeoutMs)) === true) return;
    this.#parts.log.error({}, "a check of the guests' network has exceeded its deadline");
  }
}

/** Requests are answered between the parts of the comparison. */
async function differencesOf(
  wanted: WantedNetwork,
  seen: SeenNetwork,
): Promise<readonly NetworkDifference[]> {
  const found: NetworkDifference[] = [];
  for (const some of differencesInParts(wanted, seen)) {
    found.push(...some);
    await turn();
  }
  return found;
}
