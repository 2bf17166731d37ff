// workers, main-thread side: who is served a lease by our DHCP server. The server runs while there is such a
// guest, and is started again when it ends by itself.

import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestIdentity, NetworkSpec } from '../engine/network-ports.ts';
import type { Logger } from '../lib/log.ts';
import { Batch } from './batch.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import type { HostSettings, Run } from './protocol.ts';

/** A server that cannot live is not started in a circle. */
const RESTART_PAUSE_MS = 1_000;

export class LeaseServer {
  /** By the name of the tap. */
  readonly #guests = new Map<string, GuestIdentity>();
  readonly #changes: Batch<NetworkSpec>;
  readonly #log: Logger;
  #spec: NetworkSpec | undefined;
  #watchedPid: number | null = null;

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
      void exits.watch(server.identity, server.pidfd).exited.then(() => this.#onExit(pid));
    });
  }

  /** These are there already; what an earlier daemon left is set right. */
  async know(spec: NetworkSpec, guests: readonly GuestIdentity[]): Promise<void> {
    for (const guest of guests) if (isServed(guest)) this.#guests.set(guest.tapName, guest);
    if (this.#guests.size > 0) await this.#change(spec);
  }

  /** Resolves when the guest would get its address. One that is not ours to serve is fine. */
  async admit(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    if (!isServed(guest)) return;
    this.#guests.set(guest.tapName, guest);
    await this.#change(spec);
  }

  /** Its lease is forgotten: its address may be another's next. */
  async leave(tapName: string): Promise<void> {
    if (!this.#guests.delete(tapName) || this.#spec === undefined) return;
    await this.#change(this.#spec);
  }

  #change(spec: NetworkSpec): Promise<void> {
    this.#spec = spec;
    return this.#changes.add(spec);
  }

  async #onExit(pid: number): Promise<void> {
    if (this.#watchedPid === pid) this.#watchedPid = null;
    if (this.#guests.size === 0 || this.#spec === undefined) return;
    await sleep(RESTART_PAUSE_MS, undefined, { ref: false });
    // Meanwhile another change may have started it: then this one finds it there.
    await this.#change(this.#spec).catch((error: unknown) => {
      this.#log.error({ err: error }, 'the DHCP server does not run: guests lose their leases');
    });
  }
}

function isServed({ asksForLease, ipAddress }: GuestIdentity): boolean {
  return asksForLease && ipAddress !== null;
}
