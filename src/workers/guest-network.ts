// workers, main-thread side: the guests' network as it must be known across jobs: what of it is there, who
// may send, who is served a lease. Changes that come at the same time are one change of the kernel's tables.

import type { Forward, GuestIdentity, HostLedger, NetworkSpec } from '../engine/network-ports.ts';
import type { LaunchRequest } from '../engine/ports.ts';
import type { HostChanges } from '../engine/records.ts';
import { allDone } from '../lib/all-done.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { Batch } from './batch.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { GuestFilter } from './guest-filter.ts';
import { LeaseServer } from './lease-server.ts';
import type { HostSettings, Run } from './protocol.ts';
import { Shards } from './shards.ts';

type Tap = NonNullable<LaunchRequest['tap']>;

interface ForwardTable {
  readonly spec: NetworkSpec;
  readonly forwards: readonly Forward[];
}

export class GuestNetwork {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #filter: GuestFilter;
  readonly #leases: LeaseServer;
  readonly #tapRemovals: Batch<string>;
  readonly #forwards: Batch<ForwardTable>;
  /** What the kernel forwards; null while that is not known. */
  #standing: readonly Forward[] | null = null;
  /** Addresses that a host port has led to. */
  readonly #forwarded = new Set<string>();
  /** By the name of the tap. */
  readonly #addresses = new Map<string, string>();
  #made: Promise<void> | undefined;
  /** Of the last call: who removes the bridge by hand gets a new one by them. */
  #last: { readonly spec: NetworkSpec; readonly ledger: HostLedger } | undefined;
  readonly #shards: Shards;

  constructor(settings: HostSettings, run: Run, exits: ExitWatcher, log: Logger) {
    this.#settings = settings;
    this.#run = run;
    this.#tapRemovals = new Batch((tapNames) =>
      run('removeTaps', { tapNames, forgottenAddresses: this.#takeForwarded(tapNames) }),
    );
    // Each call brings the whole table: the last of a round is what shall stand there.
    this.#forwards = new Batch(async (tables) => {
      const last = tables.at(-1);
      if (last !== undefined) await this.#writeForwards(last);
    });
    this.#filter = new GuestFilter(settings.antiSpoofing, (admitted, left) =>
      run('changeGuestFilter', { settings, admitted, left }),
    );
    this.#shards = new Shards(settings, run);
    this.#leases = new LeaseServer(settings, run, exits, log);
  }

  /** Bridge, NAT, filter, leases: what is missing of it. These guests are there already. */
  ensure(spec: NetworkSpec, guests: readonly GuestIdentity[], ledger: HostLedger): Promise<void> {
    this.#last = { spec, ledger };
    this.#made ??= this.#make(spec, guests, ledger).catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return this.#made;
  }

  async #make(
    spec: NetworkSpec,
    guests: readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void> {
    const settings = this.#settings;
    this.#filter.know(guests);
    for (const guest of guests) this.#knowAddress(guest);
    const changes = await this.#run('planNetwork', { spec, changes: ledger.changes() });
    await ledger.remember(changes);
    await this.#run('ensureNetwork', { settings, spec, changes });
    await this.#run('makeGuestFilter', { settings, spec, guests: this.#filter.guests });
    await this.#shards.find();
    await this.#leases.know(spec, guests);
  }

  async remove(spec: NetworkSpec, changes: HostChanges): Promise<void> {
    this.#forget();
    this.#standing = null;
    await this.#run('removeNetwork', { settings: this.#settings, spec, changes });
  }

  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void> {
    return this.#forwards.add({ spec, forwards });
  }

  async #writeForwards({ spec, forwards }: ForwardTable): Promise<void> {
    const standing = this.#standing;
    const routeLocalnetBefore = this.#last?.ledger.changes().routeLocalnetBefore ?? null;
    for (const { targets } of forwards) {
      for (const { address } of targets) this.#forwarded.add(address);
    }
    const whole = { settings: this.#settings, spec, forwards, standing: null, routeLocalnetBefore };
    this.#standing = null;
    try {
      await this.#run('setForwards', { ...whole, standing });
    } catch (error) {
      // Somebody may have removed the table.
      if (standing === null || !isHostFailure(error)) throw error;
      await this.#run('setForwards', whole);
    }
    this.#standing = forwards;
  }

  /** Runs `launch`, which attaches the tap, in a network that has a place for it. */
  async withTap<T>(tap: Tap, launch: (shard: number) => Promise<T>): Promise<T> {
    try {
      return await launch(await this.#admit(tap));
    } catch (error) {
      // Somebody may have removed the bridge: once more with a new one, then it is told.
      if (this.#last === undefined || !isHostFailure(error)) throw error;
      this.#forget();
      await this.ensure(this.#last.spec, [], this.#last.ledger);
      return launch(await this.#admit(tap));
    }
  }

  async removeTap(tapName: string): Promise<void> {
    // Whoever sent through it is gone, and what the filter does not know it drops: both may go at once. The kernel
    // makes each wait for as long as the other.
    await allDone([
      this.#tapRemovals.add(tapName),
      this.#filter.leave(tapName),
      this.#leases.leave(tapName),
    ]);
    await this.#shards.release(tapName);
  }

  /** Addresses of guests that go, if a host port has led to them. */
  #takeForwarded(tapNames: readonly string[]): readonly string[] {
    return tapNames.flatMap((tapName) => {
      const address = this.#addresses.get(tapName);
      this.#addresses.delete(tapName);
      return address !== undefined && this.#forwarded.delete(address) ? [address] : [];
    });
  }

  #knowAddress({ tapName, ipAddress }: GuestIdentity): void {
    if (ipAddress !== null) this.#addresses.set(tapName, ipAddress);
  }

  /** Resolves with the shard that the tap belongs on. */
  async #admit({ guest, spec, shard: wanted }: Tap): Promise<number> {
    this.#knowAddress(guest);
    const shard = await this.#shards.take(spec, guest.tapName, wanted);
    await Promise.all([this.#filter.admit(guest), this.#leases.admit(spec, guest)]);
    return shard;
  }

  #forget(): void {
    this.#made = undefined;
    this.#shards.forget();
  }
}

function isHostFailure(error: unknown): boolean {
  return error instanceof VolantError && error.code === 'HOST_OPERATION_FAILED';
}
