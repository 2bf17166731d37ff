// workers, main-thread side: who is served a lease by our DHCP server. The server runs while there is such a
// guest, and is started again when it ends by itself or could not be started.

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../config.ts';
import type { GuestIdentity, NetworkSpec } from '../engine/network-ports.ts';
import type { Logger } from '../lib/log.ts';
import { Batch } from './batch.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import type { HostSettings, Run } from './protocol.ts';

export class LeaseServer {
  /** By the name of the tap. */
  readonly #guests = new Map<string, GuestIdentity>();
  readonly #changes: Batch<NetworkSpec>;
  readonly #log: Logger;
  #spec: NetworkSpec | undefined;
  #watchedPid: number | null = null;
  #startedAtMs = 0;
  #pauseMs: number = LIMITS.leaseServerPauseMinMs;
  /** It must be made as it should be, again and again until that is done. */
  #repairing = false;

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
   * These are there already; what an earlier daemon left is set right, a server without guests included. Never
   * rejects: a server that fails is nobody else's business, and is tried again.
   */
  async know(spec: NetworkSpec, guests: readonly GuestIdentity[]): Promise<void> {
    for (const guest of guests) if (isServed(guest)) this.#guests.set(guest.tapName, guest);
    await this.#changeOrRepair(spec);
  }

  /** Resolves when the guest would get its address. One that is not ours to serve is fine. */
  async admit(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    if (!isServed(guest)) return;
    this.#guests.set(guest.tapName, guest);
    await this.#change(spec);
  }

  /** Its lease is forgotten: its address may be another's next. Never rejects, as above. */
  async leave(tapName: string): Promise<void> {
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
      this.#tell(error);
      void this.#repair();
    }
  }

  #onExit(pid: number): void {
    // Another was started in its place.
    if (this.#watchedPid !== pid) return;
    this.#watchedPid = null;
    const livedMs = performance.now() - this.#startedAtMs;
    if (livedMs > LIMITS.leaseServerPauseMaxMs) this.#pauseMs = LIMITS.leaseServerPauseMinMs;
    if (this.#guests.size > 0) void this.#repair();
  }

  /**
   * After pauses that double until one lives for long. Meanwhile another change may have succeeded: then this one finds
   * nothing to do.
   */
  async #repair(): Promise<void> {
    if (this.#repairing) return;
    this.#repairing = true;
    while (this.#repairing) {
      await sleep(this.#pauseMs, undefined, { ref: false });
      this.#pauseMs = Math.min(this.#pauseMs * 2, LIMITS.leaseServerPauseMaxMs);
      try {
        if (this.#spec !== undefined) await this.#change(this.#spec);
        this.#repairing = false;
      } catch (error) {
        this.#tell(error);
      }
    }
  }

  #tell(error: unknown): void {
    this.#log.error({ err: error }, 'the DHCP server does not run: guests lose their leases');
  }
}

function isServed({ asksForLease, ipAddress }: GuestIdentity): boolean {
  return asksForLease && ipAddress !== null;
}
