// load, owned: removes everything that a run made, within a bounded time, and says what could not be removed.

import { setTimeout as pause } from 'node:timers/promises';
import type { VolantClient } from '../../client/client.ts';
import { ApiError } from '../../client/errors.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import type { CleanupReport, LeftOver } from '../report/run-report.ts';
import { markOf, namePrefixOf } from './labels.ts';
import { forMany } from './many.ts';

const PAGE = 1000;
/** After so many looks that found something and removed nothing, what is there stays. */
const FRUITLESS_MAX = 3;

export interface CleanupOptions {
  readonly timeoutMs?: number;
  /** Names that stay, such as what setup made between two tries. */
  readonly keep?: ReadonlySet<string>;
}

/** Never rejects: what could not be asked or removed is in the report. */
export async function removeRun(
  client: VolantClient,
  label: string,
  { timeoutMs = LOAD_LIMITS.cleanupSecondsDefault * 1000, keep = new Set() }: CleanupOptions = {},
): Promise<CleanupReport> {
  const cleanup = new Cleanup(client, label, timeoutMs, keep);
  await cleanup.run();
  return cleanup.report();
}

/** The command that removes what is left of a run. */
export function cleanCommand(label: string): string {
  return `volant-load clean --label ${label}`;
}

class Cleanup {
  readonly #client: VolantClient;
  readonly #label: string;
  readonly #prefix: string;
  readonly #keep: ReadonlySet<string>;
  readonly #beganMs = performance.now();
  readonly #endMs: number;
  readonly #left = new Map<string, LeftOver>();
  /** Why the daemon could not be asked. */
  #trouble: string | undefined;
  #vms = 0;
  #deployments = 0;

  constructor(client: VolantClient, label: string, timeoutMs: number, keep: ReadonlySet<string>) {
    this.#client = client;
    this.#label = label;
    this.#prefix = namePrefixOf(label);
    this.#keep = keep;
    this.#endMs = this.#beganMs + timeoutMs;
  }

  async run(): Promise<void> {
    let [fruitless, empty] = [0, 0];
    for (let round = 0; round < LOAD_LIMITS.cleanupRoundsMax && !this.#isOver(); round += 1) {
      if (round > 0) await pause(LOAD_LIMITS.cleanupSettleMs);
      const before = this.#vms + this.#deployments;
      const found = await this.#round();
      // A request that was cancelled may still make something, so the last look is made twice.
      empty = found === 0 ? empty + 1 : 0;
      if (empty === 2) return;
      fruitless = found > 0 && this.#vms + this.#deployments === before ? fruitless + 1 : 0;
      if (fruitless === FRUITLESS_MAX) return;
    }
  }

  report(): CleanupReport {
    const left = [...this.#left.values()];
    if (this.#trouble !== undefined) {
      left.push({ kind: 'vm', name: `${this.#prefix}*`, reason: this.#trouble });
    }
    return {
      removedVms: this.#vms,
      removedDeployments: this.#deployments,
      durationMs: performance.now() - this.#beganMs,
      left: left.slice(0, LOAD_LIMITS.leftListedMax),
      leftTotal: left.length,
      command: left.length === 0 ? null : cleanCommand(this.#label),
    };
  }

  /** Looks once, and removes what it finds. Resolves with the number of things that were there. */
  async #round(): Promise<number> {
    this.#left.clear();
    this.#trouble = undefined;
    try {
      // A deployment replaces its VMs, so it goes first, with them.
      const deployments = (await this.#client.deployments.list(this.#call()))
        .filter(({ name }) => this.#isOurs(name))
        .map(({ name, config }) => ({ name, mark: markOf(config)?.label }));
      await this.#each(deployments, (item) => this.#removeDeployment(item));
      const replicas = deployments.map(({ name }) => `${name}-`);
      const vms = (await this.#listVms()).filter(
        (name) => this.#isOurs(name) && !replicas.some((prefix) => name.startsWith(prefix)),
      );
      await this.#each(vms, (name) => this.#removeVm(name));
      return deployments.length + vms.length;
    } catch (error) {
      this.#trouble = messageOf(error);
      return 1;
    }
  }

  #isOurs(name: string): boolean {
    return name.startsWith(this.#prefix) && !this.#keep.has(name);
  }

  async #listVms(): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      const query = { q: this.#prefix, limit: PAGE, offset: names.length };
      const { vms, total } = await this.#client.vms.list(query, this.#call());
      names.push(...vms.map(({ name }) => name));
      if (vms.length === 0 || names.length >= total) return names;
    }
  }

  async #removeDeployment({ name, mark }: { name: string; mark: string | undefined }) {
    await this.#remove('deployment', name, async () => {
      if (mark !== this.#label) return false;
      await this.#client.deployments.delete(name, this.#call());
      this.#deployments += 1;
      return true;
    });
  }

  async #removeVm(name: string) {
    await this.#remove('vm', name, async () => {
      const { config } = await this.#client.configs.get(name, this.#call());
      if (markOf(config)?.label !== this.#label) return false;
      await this.#client.vms.destroy(name, { ...this.#call(), graceSeconds: 0 });
      this.#vms += 1;
      return true;
    });
  }

  async #remove(kind: LeftOver['kind'], name: string, work: () => Promise<boolean>) {
    this.#left.set(`${kind} ${name}`, { kind, name, reason: 'The time for the cleanup was over' });
    try {
      if (await work()) this.#left.delete(`${kind} ${name}`);
      else this.#keepWith(kind, name, 'It has the name, but not the mark of the run');
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) this.#left.delete(`${kind} ${name}`);
      else this.#keepWith(kind, name, messageOf(error));
    }
  }

  #keepWith(kind: LeftOver['kind'], name: string, reason: string): void {
    this.#left.set(`${kind} ${name}`, { kind, name, reason });
  }

  #each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    return forMany(items, LOAD_LIMITS.setupConcurrencyMax, work, () => this.#isOver());
  }

  #isOver(): boolean {
    return performance.now() >= this.#endMs;
  }

  #call(): { timeoutMs: number } {
    const leftMs = Math.max(1, this.#endMs - performance.now());
    return { timeoutMs: Math.min(leftMs, LOAD_LIMITS.cleanupCallMs) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
