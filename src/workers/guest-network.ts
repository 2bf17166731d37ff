// workers, main-thread side: the guests' network as it must be known across jobs: what of it is there, who
// may send, who is served a lease. Changes that come at the same time are one change of the kernel's tables. Nobody else
// writes them, and how they are compared with what the kernel has is decided here.

import type {
  Forward,
  GuestIdentity,
  HostLedger,
  NetworkMending,
  NetworkSpec,
  SeenNetwork,
} from '../engine/network-ports.ts';
import type { LaunchRequest } from '../engine/ports.ts';
import type { HostChanges } from '../engine/records.ts';
import { allDone } from '../lib/all-done.ts';
import type { Logger } from '../lib/log.ts';
import { Batch } from './batch.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { GuestFilter } from './guest-filter.ts';
import { isHostFailure } from './host-failure.ts';
import { LeaseServer } from './lease-server.ts';
import { lostPartOf } from './network-news.ts';
import type { HostSettings, JobName, LookedAtNetwork, Run } from './protocol.ts';
import { compareRules } from './rules-state.ts';
import { Shards } from './shards.ts';

/** A look while the network is made anew says nothing; the next one may. */
const LOOKS_MAX = 3;

type Tap = NonNullable<LaunchRequest['tap']>;

interface ForwardTable {
  readonly spec: NetworkSpec;
  readonly forwards: readonly Forward[];
}

export class GuestNetwork {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #exits: ExitWatcher;
  readonly #filter: GuestFilter;
  readonly #leases: LeaseServer;
  readonly #tapRemovals: Batch<string>;
  readonly #forwards: Batch<ForwardTable>;
  /** What the kernel forwards; null while that is not known. */
  #standing: readonly Forward[] | null = null;
  /** As the kernel's rules were read back when they were written last; undefined before that. */
  #natRules: string | undefined;
  #portRules: string | null | undefined;
  /** How often something of the whole was made, and how often that came to its end. */
  readonly #makes = { begun: 0, ended: 0 };
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
    this.#run = countMakes(run, this.#makes);
    this.#exits = exits;
    this.#tapRemovals = new Batch((tapNames) =>
      run('removeTaps', { tapNames, forgottenAddresses: this.#takeForwarded(tapNames) }),
    );
    // Each call brings the whole table: the last of a round is what shall stand there.
    this.#forwards = new Batch(async (tables) => {
      const last = tables.at(-1);
      if (last !== undefined) await this.#writeForwards(last);
    });
    this.#filter = new GuestFilter(settings, this.#run);
    this.#shards = new Shards(settings, this.#run);
    this.#leases = new LeaseServer(settings, run, exits, log);
  }

  /** Bridge, NAT, filter, leases: what is missing of it. These guests are there already. */
  ensure(
    spec: NetworkSpec,
    guests: () => readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void> {
    this.#last = { spec, ledger };
    this.#made ??= this.#make(spec, guests, ledger).catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return this.#made;
  }

  async #make(
    spec: NetworkSpec,
    guests: () => readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void> {
    const settings = this.#settings;
    const told = guests();
    this.#filter.know(told);
    // Who has left may still be told, then and later.
    const known = () => told.filter(({ tapName }) => this.#filter.knows(tapName));
    for (const guest of known()) this.#knowAddress(guest);
    const changes = await this.#run('planNetwork', { spec, changes: ledger.changes() });
    await ledger.remember(changes);
    this.#natRules = await this.#run('ensureNetwork', { settings, spec, changes });
    await this.#filter.make(spec);
    await this.#shards.find();
    await this.#leases.know(spec, known());
  }

  /** What the kernel has. null: it is made anew again and again meanwhile. */
  async look(spec: NetworkSpec, isNeeded: boolean): Promise<SeenNetwork | null> {
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      // Whoever made it is told of an error.
      await this.#made?.catch(() => undefined);
      const { begun, ended } = this.#makes;
      if (begun !== ended) continue;
      const seen = await this.#run('lookAtNetwork', {
        settings: this.#settings,
        spec,
        isNeeded,
      });
      if (this.#makes.begun === begun) return this.#compared(seen);
    }
    return null;
  }

  #compared(seen: LookedAtNetwork): SeenNetwork {
    const { nat, filter, ports } = seen;
    return {
      ...seen,
      nat: compareRules(this.#natRules, nat),
      filter: { ...filter, rules: compareRules(this.#filter.rules, filter.rules) },
      ports: { ...ports, rules: compareRules(this.#portRules, ports.rules) },
    };
  }

  /** Rejects with the first thing that went wrong, after all was tried. */
  async mend(spec: NetworkSpec, mending: NetworkMending, ledger: HostLedger): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    const { network, filter, forwards, shards, taps } = mending;
    if (network) {
      this.#forget();
      await attempt(() => this.ensure(spec, () => [], ledger));
    }
    for (const shard of shards) await attempt(() => this.#shards.mend(spec, shard));
    if (taps.length > 0) await attempt(() => this.#join(spec, taps));
    if (filter !== null) {
      const { admitted, left } = filter;
      const changes = [
        ...admitted.map((guest) => this.#filter.admit(spec, guest)),
        ...left.map((tapName) => this.#filter.leave(tapName)),
        this.#filter.make(spec),
      ];
      await attempt(() => Promise.all(changes));
    }
    if (forwards !== null) {
      this.#standing = null;
      await attempt(() => this.setForwards(spec, forwards));
    }
    if (failures.length > 0) throw failures[0];
  }

  async #join(spec: NetworkSpec, taps: NetworkMending['taps']): Promise<void> {
    this.#shards.forget();
    const placed = await Promise.all(
      taps.map(async ({ tapName, shard }) => ({
        tapName,
        shard: await this.#shards.take(spec, tapName, shard),
      })),
    );
    await this.#run('joinTaps', { settings: this.#settings, spec, taps: placed });
  }

  /** As in NetworkHost. */
  watch(spec: NetworkSpec, onLost: (tapName: string | null) => void): void {
    const { hostTag } = this.#settings;
    this.#exits.watchNetwork((changes) => {
      for (const change of changes) {
        const part = lostPartOf(change, hostTag, spec.bridge);
        if (part !== null) onLost(part.tapName);
      }
    });
  }

  async remove(spec: NetworkSpec, changes: HostChanges): Promise<void> {
    this.#forget();
    this.#standing = null;
    await this.#run('removeNetwork', { settings: this.#settings, spec, changes });
    this.#natRules = undefined;
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
    let written: { readonly rules: string | null | undefined };
    try {
      written = await this.#run('setForwards', { ...whole, standing });
    } catch (error) {
      // Somebody may have removed the table.
      if (standing === null || !isHostFailure(error)) throw error;
      written = await this.#run('setForwards', whole);
    }
    if (written.rules !== undefined) this.#portRules = written.rules;
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
      await this.ensure(this.#last.spec, () => [], this.#last.ledger);
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
    await Promise.all([this.#filter.admit(spec, guest), this.#leases.admit(spec, guest)]);
    return shard;
  }

  #forget(): void {
    this.#made = undefined;
    this.#shards.forget();
  }
}

/** A look at the same time may see half of what these make. */
const MAKES: ReadonlySet<JobName> = new Set<JobName>([
  'ensureNetwork',
  'removeNetwork',
  'makeGuestFilter',
  'ensureShard',
  'removeShard',
]);

function countMakes(run: Run, makes: { begun: number; ended: number }): Run {
  return async (name, argument, transferList) => {
    if (!MAKES.has(name)) return run(name, argument, transferList);
    makes.begun += 1;
    try {
      return await run(name, argument, transferList);
    } finally {
      makes.ended += 1;
    }
  };
}
