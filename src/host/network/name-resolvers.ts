// host, network: the resolvers of policies that have names. They run while a guest has such a policy. One that exits by itself
// or could not be started is started again. dnsmasq itself is run by jobs/network/egress/resolvers.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';
import type { EgressGuest, NetworkSpec } from '../../engine/ports/network-ports.ts';
import type { Logger } from '../../lib/log/log.ts';
import { type EgressRules, hasNames, policyIdOf, policyOf } from '../../lib/net/egress.ts';
import type { ExitWatcher } from '../exit-watcher.ts';
import type { HostSettings, ResolverPort, Run } from '../jobs/protocol.ts';

/** The rules of these guests that have names, each once, by the id of their policy. */
export function namePoliciesOf(
  guests: readonly Pick<EgressGuest, 'rules'>[],
): ReadonlyMap<string, EgressRules> {
  const named = guests.filter(({ rules }) => hasNames(policyOf(rules)));
  return new Map(named.map(({ rules }) => [policyIdOf(rules), rules]));
}

export interface ResolversParts {
  readonly settings: HostSettings;
  readonly run: Run;
  readonly exits: ExitWatcher;
  readonly log: Logger;
  /** Serves again and leads guests to the ports that the resolvers have then. */
  readonly again: () => Promise<void>;
}

export class Resolvers {
  readonly #parts: ResolversParts;
  #policies: ReadonlyMap<string, EgressRules> = new Map();
  readonly #watched = new Map<string, number>();
  #failed: ReadonlyMap<string, string> = new Map();
  #startedAtMs = 0;
  #pauseMs: number = LIMITS.leaseServerPauseMinMs;
  #repairing = false;
  #turn: 0 | 1 = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: ResolversParts) {
    this.#parts = parts;
  }

  /**
   * Makes the resolvers run that these guests need, and no others. Resolves with the ports of those that run; the others are
   * tried again in the background. One call at a time.
   */
  async serve(spec: NetworkSpec, guests: readonly EgressGuest[]): Promise<readonly ResolverPort[]> {
    const before = this.#policies;
    this.#policies = namePoliciesOf(guests);
    if (before.size === 0 && this.#policies.size === 0) return [];
    this.#empty();
    const { settings, run, exits } = this.#parts;
    const watched = [...this.#watched].map(([policyId, pid]) => ({ policyId, pid }));
    const policies = [...this.#policies.values()];
    const { ports, started, failed } = await run('serveNames', {
      settings,
      spec,
      policies,
      watched,
    });
    for (const id of this.#watched.keys()) if (!this.#policies.has(id)) this.#watched.delete(id);
    for (const { policyId, identity, pidfd } of started) {
      const { pid } = identity;
      this.#watched.set(policyId, pid);
      this.#startedAtMs = performance.now();
      void exits.watch(identity, pidfd).exited.then(() => this.#onExit(policyId, pid));
    }
    this.#failed = new Map(failed.map(({ policyId, why }) => [policyId, why]));
    if (failed.length > 0) {
      this.#parts.log.error({ failed }, 'resolvers do not run: look-ups of guests are refused');
      void this.#repair();
    }
    return ports;
  }

  /** Why the resolver of these rules does not run; null if it runs or the rules have no names. */
  failureOf(rules: EgressRules): string | null {
    return this.#failed.get(policyIdOf(rules)) ?? null;
  }

  /** Ends the repairs and what the daemon does to learned addresses. The resolvers run on. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  #onExit(policyId: string, pid: number): void {
    // A later resolver has replaced this one, or none is wanted.
    if (this.#watched.get(policyId) !== pid) return;
    this.#watched.delete(policyId);
    const livedMs = performance.now() - this.#startedAtMs;
    if (livedMs > LIMITS.leaseServerPauseMaxMs) this.#pauseMs = LIMITS.leaseServerPauseMinMs;
    if (this.#policies.has(policyId)) void this.#repair();
  }

  /** Retries with a pause that doubles, until all resolvers run. */
  async #repair(): Promise<void> {
    if (this.#repairing) return;
    this.#repairing = true;
    while (this.#repairing && !this.#isClosed) {
      await sleep(this.#pauseMs, undefined, { ref: false });
      this.#pauseMs = Math.min(this.#pauseMs * 2, LIMITS.leaseServerPauseMaxMs);
      try {
        await this.#parts.again();
        this.#repairing = this.#failed.size > 0;
      } catch (error) {
        this.#parts.log.error({ err: error }, 'resolvers could not be started again');
      }
    }
  }

  /**
   * Addresses are in two sets each, which are emptied in turn. So an address stays for as long as an answer may be used, and
   * is closed soon after the last answer that had it.
   */
  #empty(): void {
    if (this.#policies.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#timer ??= setInterval(() => void this.#emptyOne(), LIMITS.egressLearnedMs).unref();
  }

  async #emptyOne(): Promise<void> {
    const { settings, run, log } = this.#parts;
    this.#turn = this.#turn === 0 ? 1 : 0;
    const policies = [...this.#policies.values()];
    try {
      await run('emptyLearned', { settings, policies, turn: this.#turn });
    } catch (error) {
      log.warn({ err: error }, 'addresses of names could not be closed in time');
    }
  }
}
