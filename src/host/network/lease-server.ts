// host, network: the guests that the daemon's DHCP server gives leases to. The server runs while there is such a
// guest. It is started again when it exits by itself or could not be started. dnsmasq itself is run by
// jobs/network/dhcp-server.ts.

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';
import type { GuestIdentity, NetworkSpec } from '../../engine/ports/network-ports.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { ExitWatcher } from '../exit-watcher.ts';
import type { HostSettings, Run } from '../jobs/protocol.ts';
import { Batch } from './batch.ts';

/** Keeps the DHCP server running with exactly the guests that need a lease. */
export class LeaseServer {
  /** By the name of the tap. */
  readonly #guests = new Map<string, GuestIdentity>();
  readonly #changes: Batch<NetworkSpec>;
  readonly #log: Logger;
  #spec: NetworkSpec | undefined;
  #watchedPid: number | null = null;
  #startedAtMs = 0;
  #pauseMs: number = LIMITS.leaseServerPauseMinMs;
  /** A repair is under way and is retried until it succeeds. */
  #repairing = false;
  #isClosed = false;

  constructor(settings: HostSettings, run: Run, exits: ExitWatcher, log: Logger) {
    this.#log = log;
    this.#changes = new Batch(async (specs) => {
      const spec = specs.at(-1);
      if (spec === undefined) return;
      const guests = [...this.#guests.values()];
      const watchedPid = this.#watchedPid;
      const server = await run('serveLeases', { settings, spec, guests, watchedPid });
      if (server === null) return;
      const { pid } = server.identity;
      this.#watchedPid = pid;
      this.#startedAtMs = performance.now();
      void exits.watch(server.identity, server.pidfd).exited.then(() => this.#onExit(pid));
    });
  }

  /**
   * Adds guests that were attached before this daemon started, and replaces or ends the server of an earlier daemon.
   * Never rejects: a server that fails is started again in the background.
   */
  async addExisting(spec: NetworkSpec, guests: readonly GuestIdentity[]): Promise<void> {
    for (const guest of guests) if (isServed(guest)) this.#guests.set(guest.tapName, guest);
    await this.#changeOrRepair(spec);
  }

  /** Resolves when the server would give the guest its address. A guest that needs no lease is no error. */
  async add(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    if (!isServed(guest)) return;
    this.#guests.set(guest.tapName, guest);
    await this.#change(spec);
  }

  /** Ends the attempts to start a server. One that runs stays for the next daemon. */
  close(): void {
    this.#isClosed = true;
  }

  /** Removes the guest's lease, so that another guest can get the address. Never rejects, see addExisting(). */
  async remove(tapName: string): Promise<void> {
    if (!this.#guests.delete(tapName) || this.#spec === undefined) return;
    await this.#changeOrRepair(this.#spec);
  }

  #change(spec: NetworkSpec): Promise<void> {
    this.#spec = spec;
    return this.#changes.add(spec);
  }

  async #changeOrRepair(spec: NetworkSpec): Promise<void> {
    try {
      await this.#change(spec);
    } catch (error) {
      this.#logFailure(error);
      void this.#repair();
    }
  }

  #onExit(pid: number): void {
    // A later server has replaced this one.
    if (this.#watchedPid !== pid) return;
    this.#watchedPid = null;
    const livedMs = performance.now() - this.#startedAtMs;
    if (livedMs > LIMITS.leaseServerPauseMaxMs) this.#pauseMs = LIMITS.leaseServerPauseMinMs;
    if (this.#guests.size > 0) void this.#repair();
  }

  /**
   * Retries with a pause that doubles, until a change succeeds. The pause is short again after a server has run for long
   * enough. When another change succeeded meanwhile, the retry finds nothing to do.
   */
  async #repair(): Promise<void> {
    if (this.#repairing) return;
    this.#repairing = true;
    while (this.#repairing) {
      await sleep(this.#pauseMs, undefined, { ref: false });
      if (this.#isClosed) return;
      this.#pauseMs = Math.min(this.#pauseMs * 2, LIMITS.leaseServerPauseMaxMs);
      try {
        if (this.#spec !== undefined) await this.#change(this.#spec);
        this.#repairing = false;
      } catch (error) {
        this.#logFailure(error);
      }
    }
  }

  #logFailure(error: unknown): void {
    this.#log.error({ err: error }, 'the DHCP server does not run: guests lose their leases');
  }
}

function isServed({ asksForLease, ipAddress }: GuestIdentity): boolean {
  return asksForLease && ipAddress !== null;
}
