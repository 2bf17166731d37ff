// host, network: the state of the guests' network that must be known across jobs: what was created, which guests may
// send, which guests get a lease. This class is the only writer of the kernel's bridges and tables, and it batches
// changes that come at the same time. It also compares the kernel's rules with those that were written last. The
// kernel's objects themselves are made by jobs/network; which ones are wanted is the engine's decision.

import { LIMITS } from '../../config/limits.ts';
import type {
  EgressCount,
  Forward,
  GuestIdentity,
  HostLedger,
  NetworkRepair,
  NetworkSpec,
  SeenNetwork,
} from '../../engine/ports/network-ports.ts';
import type { LaunchRequest } from '../../engine/ports/process-ports.ts';
import type { HostChanges } from '../../engine/records.ts';
import { allDone } from '../../lib/all-done.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { ExitWatcher } from '../exit-watcher.ts';
import type { HostSettings, JobName, NetworkReading, Run } from '../jobs/protocol.ts';
import { Batch } from './batch.ts';
import { type ExpectedEgress, GuestEgress } from './guest-egress.ts';
import { GuestFilter } from './guest-filter.ts';
import { isHostFailure } from './host-failure.ts';
import { LeaseServer } from './lease-server.ts';
import { lostPartOf } from './network-losses.ts';
import { compareRules } from './rules-state.ts';
import { TapPlacement } from './tap-placement.ts';

/** A reading is repeated this often when the network was rebuilt meanwhile. */
const READINGS_MAX = 3;

type Tap = NonNullable<LaunchRequest['tap']>;

interface ForwardTable {
  readonly spec: NetworkSpec;
  readonly forwards: readonly Forward[];
}

interface Builds {
  begun: number;
  readonly running: Set<Promise<unknown>>;
}

type GuestRepair = NonNullable<NetworkRepair['filter']>;

/** The arguments of ensure(). */
interface Ensured {
  readonly spec: NetworkSpec;
  readonly guests: () => readonly GuestIdentity[];
  readonly ledger: HostLedger;
}

/** The guests' network: bridges, taps, NAT, filter, forwards and leases. */
export class GuestNetwork {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #exits: ExitWatcher;
  readonly #filter: GuestFilter;
  readonly #egress: GuestEgress;
  readonly #leases: LeaseServer;
  readonly #tapRemovals: Batch<string>;
  readonly #forwards: Batch<ForwardTable>;
  /** The forwards in the kernel's table. null: unknown. */
  #applied: readonly Forward[] | null = null;
  /** The rules as they were read back after the last write. undefined: not written yet. */
  #natRules: string | undefined;
  #portRules: string | null | undefined;
  /** Builds of a shared part: how many have begun, and those that are under way. */
  readonly #builds: Builds = { begun: 0, running: new Set() };
  /** Addresses whose connections must be forgotten with their guest: a published port led there, or egress rules held. */
  readonly #tracked = new Set<string>();
  /** By the name of the tap. */
  readonly #addresses = new Map<string, string>();
  #built: Promise<void> | undefined;
  /** The arguments of the last ensure(): withTap() uses them to rebuild a network that somebody removed. */
  #last: Ensured | undefined;
  readonly #placement: TapPlacement;

  constructor(
    settings: HostSettings,
    run: Run,
    exits: ExitWatcher,
    log: Logger,
    bridgeUnusedMs: number = LIMITS.bridgeUnusedMs,
  ) {
    this.#settings = settings;
    this.#run = countBuilds(run, this.#builds);
    this.#exits = exits;
    this.#tapRemovals = new Batch(
      (tapNames) =>
        run('removeTaps', { tapNames, forgottenAddresses: this.#takeTracked(tapNames) }),
      // The kernel is as slow at one tap as at many. A wait that fails, for example because the daemon ends, is over.
      () => run('settleTaps', {}).catch(() => undefined),
    );
    // Each call brings the whole table, so only the last one of a batch is written.
    this.#forwards = new Batch(async (tables) => {
      const last = tables.at(-1);
      if (last !== undefined) await this.#writeForwards(last);
    });
    this.#filter = new GuestFilter(settings, this.#run);
    this.#egress = new GuestEgress(settings, this.#run, exits, log);
    this.#placement = new TapPlacement(settings, this.#run, log, bridgeUnusedMs);
    this.#leases = new LeaseServer(settings, run, exits, log);
  }

  /**
   * Creates what is missing of bridge, NAT, filter and DHCP server. `guests` returns those that are attached already.
   * Concurrent calls share one build; a build that failed is repeated by the next call.
   */
  ensure(
    spec: NetworkSpec,
    guests: () => readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void> {
    this.#last = { spec, guests, ledger };
    return this.#ensure(this.#last);
  }

  #ensure({ spec, guests, ledger }: Ensured): Promise<void> {
    this.#built ??= this.#build(spec, guests, ledger).catch((error: unknown) => {
      this.#built = undefined;
      throw error;
    });
    return this.#built;
  }

  async #build(
    spec: NetworkSpec,
    guests: () => readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void> {
    const settings = this.#settings;
    const attached = guests();
    this.#filter.addExisting(attached);
    // The list may still contain guests that have left, now and later.
    const known = () => attached.filter(({ tapName }) => this.#filter.has(tapName));
    for (const guest of known()) this.#rememberAddress(guest);
    const changes = await this.#run('planNetwork', { spec, changes: ledger.changes() });
    await ledger.remember(changes);
    this.#natRules = await this.#run('ensureNetwork', { settings, spec, changes });
    this.#egress.addExisting(known());
    await this.#egress.make(spec);
    await this.#filter.make(spec);
    await this.#placement.find();
    await this.#leases.addExisting(spec, known());
  }

  /** Reads the network's state from the kernel. null: it was rebuilt during each of the readings. */
  async read(spec: NetworkSpec, isNeeded: boolean): Promise<SeenNetwork | null> {
    for (let readings = 0; readings < READINGS_MAX; readings += 1) {
      // Their callers get the errors.
      await Promise.allSettled([this.#built, ...this.#builds.running]);
      const { begun, running } = this.#builds;
      if (running.size > 0) continue;
      const egressBefore = this.#egress.expected();
      const seen = await this.#run('readNetwork', {
        settings: this.#settings,
        spec,
        isNeeded,
      });
      if (this.#builds.begun === begun) return this.#compareAll(seen, egressBefore);
    }
    return null;
  }

  #compareAll(seen: NetworkReading, egressBefore: ExpectedEgress): SeenNetwork {
    const { nat, filter, ports, egress } = seen;
    return {
      ...seen,
      nat: compareRules(this.#natRules, nat),
      filter: { ...filter, rules: compareRules(this.#filter.rules, filter.rules) },
      ports: { ...ports, rules: compareRules(this.#portRules, ports.rules) },
      egress: { ...egress, rules: this.#egress.compare(egress, egressBefore) },
    };
  }

  /** Rejects with the first thing that went wrong, after all was tried. */
  async mend(spec: NetworkSpec, repair: NetworkRepair, ledger: HostLedger): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    const { network, filter, forwards, egress, secondaryBridges, taps } = repair;
    if (network) {
      this.#invalidate();
      // The guests of the last ensure() again: a build that failed may not have added all of them.
      const guests = this.#last?.guests ?? (() => []);
      await attempt(() => this.#ensure({ spec, guests, ledger }));
    }
    for (const bridgeNumber of secondaryBridges)
      await attempt(() => this.#placement.mend(spec, bridgeNumber));
    if (taps.length > 0) await attempt(() => this.#join(spec, taps));
    if (filter !== null) {
      const { admitted, left } = this.#present(filter);
      const changes = [
        ...admitted.map((guest) => this.#filter.add(spec, guest)),
        ...left.map((tapName) => this.#filter.remove(tapName)),
        this.#filter.make(spec),
      ];
      await attempt(() => Promise.all(changes));
    }
    if (egress !== null) {
      const { admitted, left } = this.#present(egress);
      const changes = [
        ...admitted.map((guest) => this.#egress.add(spec, guest)),
        ...left.map((tapName) => this.#egress.remove(tapName)),
        this.#egress.make(spec),
      ];
      await attempt(() => Promise.all(changes));
    }
    if (forwards !== null) {
      this.#applied = null;
      await attempt(() => this.setForwards(spec, forwards));
    }
    if (failures.length > 0) throw failures[0];
  }

  /**
   * A repair without what has changed since it was planned. A record names its guest until everything of it is released, so
   * one whose tap goes must not be added again: nobody would remove it. One that is not attached yet is added by its launch.
   */
  #present({ admitted, left }: GuestRepair): GuestRepair {
    const now = new Map((this.#last?.guests() ?? []).map((guest) => [guest.tapName, guest]));
    return {
      admitted: admitted
        .filter(({ tapName }) => this.#filter.has(tapName))
        .map((guest) => now.get(guest.tapName) ?? guest),
      left: left.filter((tapName) => !this.#filter.has(tapName)),
    };
  }

  async #join(spec: NetworkSpec, taps: NetworkRepair['taps']): Promise<void> {
    this.#placement.forget();
    const placed = await Promise.all(
      taps.map(async ({ tapName, bridgeNumber }) => ({
        tapName,
        bridgeNumber: await this.#placement.take(spec, tapName, bridgeNumber),
      })),
    );
    await this.#run('joinTaps', { settings: this.#settings, spec, taps: placed });
  }

  /** See NetworkHost.watchNetwork. */
  watch(spec: NetworkSpec, onLost: (tapName: string | null) => void): void {
    const { hostTag } = this.#settings;
    this.#exits.watchNetwork((changes) => {
      for (const change of changes) {
        const part = lostPartOf(change, hostTag, spec.bridge);
        if (part !== null) onLost(part.tapName);
      }
    });
  }

  /** Removes the network and restores the host's settings that `changes` records. */
  async remove(spec: NetworkSpec, changes: HostChanges): Promise<void> {
    this.#invalidate();
    this.#applied = null;
    await this.#run('removeNetwork', { settings: this.#settings, spec, changes });
    this.#natRules = undefined;
  }

  /** Makes the kernel forward exactly these published ports. */
  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void> {
    return this.#forwards.add({ spec, forwards });
  }

  /** See NetworkHost.setEgress. */
  async setEgress(spec: NetworkSpec, guest: GuestIdentity): Promise<void> {
    // Until the network is built the tables are an earlier daemon's. The caller of ensure() gets the error.
    await this.#built?.catch(() => undefined);
    // A guest whose tap goes must not be added again, and one that is launched gets its rules with its tap.
    if (this.#filter.has(guest.tapName)) await this.#egress.set(spec, guest);
  }

  /** Ends what runs in the background. The network stays. */
  close(): void {
    this.#placement.close();
    this.#egress.close();
    this.#leases.close();
  }

  /** See NetworkHost.countEgress. */
  countEgress(): Promise<readonly EgressCount[]> {
    return this.#run('countEgress', { settings: this.#settings });
  }

  async #writeForwards({ spec, forwards }: ForwardTable): Promise<void> {
    const applied = this.#applied;
    const routeLocalnetBefore = this.#last?.ledger.changes().routeLocalnetBefore ?? null;
    for (const { targets } of forwards) {
      for (const { address } of targets) this.#tracked.add(address);
    }
    const whole = { settings: this.#settings, spec, forwards, applied: null, routeLocalnetBefore };
    this.#applied = null;
    let written: { readonly rules: string | null | undefined };
    try {
      written = await this.#run('setForwards', { ...whole, applied });
    } catch (error) {
      // Another program may have removed the table: write all of it.
      if (applied === null || !isHostFailure(error)) throw error;
      written = await this.#run('setForwards', whole);
    }
    if (written.rules !== undefined) this.#portRules = written.rules;
    this.#applied = forwards;
  }

  /**
   * Runs `launch`, which attaches the tap, on the bridge that the tap belongs to. When the host refuses, the network
   * is rebuilt and `launch` runs once more.
   */
  async withTap<T>(tap: Tap, launch: (bridgeNumber: number) => Promise<T>): Promise<T> {
    try {
      return await launch(await this.#attach(tap));
    } catch (error) {
      // Another program may have removed the bridge.
      if (this.#last === undefined || !isHostFailure(error)) throw error;
      this.#invalidate();
      await this.#ensure(this.#last);
      return launch(await this.#attach(tap));
    }
  }

  /** Removes a tap and all that the filter, the DHCP server and connection tracking know of its guest. */
  async removeTap(tapName: string): Promise<void> {
    // The process that sent through the tap has ended, and the filter drops what it does not know, so the order does
    // not matter. Each of these waits equally long for the kernel, so they run in parallel.
    if (this.#egress.has(tapName)) this.#tracked.add(this.#addresses.get(tapName) ?? '');
    await allDone([
      this.#tapRemovals.add(tapName),
      this.#filter.remove(tapName),
      this.#egress.remove(tapName),
      this.#leases.remove(tapName),
    ]);
    await this.#placement.release(tapName);
  }

  /** Returns and forgets the addresses of removed guests whose connections must be forgotten. */
  #takeTracked(tapNames: readonly string[]): readonly string[] {
    return tapNames.flatMap((tapName) => {
      const address = this.#addresses.get(tapName);
      this.#addresses.delete(tapName);
      return address !== undefined && this.#tracked.delete(address) ? [address] : [];
    });
  }

  #rememberAddress({ tapName, ipAddress }: GuestIdentity): void {
    if (ipAddress !== null) this.#addresses.set(tapName, ipAddress);
  }

  /** Resolves with the number of the bridge that the tap belongs on. */
  async #attach({ guest, spec, bridgeNumber: wanted }: Tap): Promise<number> {
    this.#rememberAddress(guest);
    const bridgeNumber = await this.#placement.take(spec, guest.tapName, wanted);
    await Promise.all([
      this.#filter.add(spec, guest),
      this.#egress.add(spec, guest),
      this.#leases.add(spec, guest),
    ]);
    return bridgeNumber;
  }

  #invalidate(): void {
    this.#built = undefined;
    this.#placement.forget();
  }
}

/** Jobs that build a shared part of the network. A reading at the same time may see half of it. */
const BUILD_JOBS: ReadonlySet<JobName> = new Set<JobName>([
  'ensureNetwork',
  'removeNetwork',
  'makeGuestFilter',
  'makeEgress',
  'ensureSecondaryBridge',
  'removeSecondaryBridge',
]);

function countBuilds(run: Run, builds: Builds): Run {
  return async (name, argument, transferList) => {
    const job = run(name, argument, transferList);
    if (!BUILD_JOBS.has(name)) return job;
    builds.begun += 1;
    builds.running.add(job);
    try {
      return await job;
    } finally {
      builds.running.delete(job);
    }
  };
}
