// engine, vms: the first look of a daemon at its host. It finds the hypervisors that live and what is left of those that
// do not; what is to be done about a VM is next-step's business. What no record owns is swept away here.

import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import type { HostInventory, HostPort } from '../ports.ts';
import type { ProcessIdentity, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { ExitMeaning } from './exit-meaning.ts';
import type { Hypervisors } from './hypervisors.ts';
import { type Leftovers, leftoversIn } from './leftovers.ts';
import type { LiveVms, RunningVm } from './live.ts';
import type { Turn } from './operations.ts';
import { owesLaunch } from './status.ts';

/** The host, as it was when this daemon started. */
interface Seen {
  readonly inventory: HostInventory;
  readonly leftovers: ReadonlyMap<number, Leftovers>;
}

/** What came of the looks so far. */
export interface LookCounts {
  readonly adopted: number;
  readonly crashed: number;
  readonly stopped: number;
  /** Cut off by the end of the daemon before, and brought to its end now. */
  readonly undone: number;
  /** Things of VMs that do not run, or that no record knows. */
  readonly swept: number;
}

export interface FirstLookParts {
  readonly state: State;
  readonly host: HostPort;
  readonly hypervisors: Hypervisors;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly clock: Clock;
  readonly log: Logger;
}

export class FirstLook {
  readonly #parts: FirstLookParts;
  readonly #counts = { adopted: 0, crashed: 0, stopped: 0, undone: 0, swept: 0 };
  #seeing: Promise<Seen> | undefined;
  #isClosed = false;

  constructor(parts: FirstLookParts) {
    this.#parts = parts;
  }

  get counts(): LookCounts {
    return { ...this.#counts };
  }

  /** The step of one VM: afterwards it is known whether its hypervisor lives. */
  async take(record: VmRecord, turn: Turn): Promise<void> {
    const { live, state, boots, clock } = this.#parts;
    const { inventory, leftovers } = await turn.wait(() => this.#see());
    const left = leftovers.get(record.id);
    const identity = record.process ?? left?.processes[0] ?? null;
    const vm = identity === null ? null : await this.#adopt(record, identity);
    if (vm !== null) {
      this.#counts.adopted += 1;
      live.watch(record.id, vm);
      // One that was not written down yet has its boot phase from then on.
      if (record.process !== null) boots.adopt(record, vm, clock.nowMs() - record.updatedAtMs);
      return;
    }
    const isReleased = record.observed.isReleased && (left === undefined || !isHeld(left));
    if (record.observed.isReleased && left !== undefined) this.#counts.swept += countOf(left);
    const missed = meaningOfAbsence(inventory, record);
    Object.assign(live.of(record.id), { isKnown: true, isReleased, end: { missed } });
    if (state.find(record.id) !== undefined) this.#count(record, missed);
  }

  /** Removes what the host has of VMs that no record knows; `lastVmId` is the highest id that an earlier daemon gave. */
  async sweep(lastVmId: number): Promise<void> {
    const { state, log } = this.#parts;
    const { leftovers } = await this.#see();
    const orphans = [...leftovers].filter(
      ([vmId]) => vmId <= lastVmId && state.find(vmId) === undefined,
    );
    // Processes first: they hold taps and cgroups.
    await Promise.all(orphans.map(([vmId, { processes }]) => this.#endOrphans(vmId, processes)));
    const removals = orphans.flatMap(([vmId, left]) => this.#removalsOf(vmId, left));
    for (const result of await Promise.allSettled(removals)) {
      if (result.status === 'rejected') log.error({ err: result.reason }, 'sweep failed');
    }
    for (const [, left] of orphans) this.#counts.swept += countOf(left, true);
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
  }

  /** One look serves all VMs. A host that cannot be looked at now can be a little later. */
  #see(): Promise<Seen> {
    this.#seeing ??= this.#seeUntilSeen();
    return this.#seeing;
  }

  async #seeUntilSeen(): Promise<Seen> {
    const { host, log } = this.#parts;
    let pauseMs: number = LIMITS.stepRetryMinMs;
    for (;;) {
      try {
        const inventory = await host.inventory();
        return { inventory, leftovers: leftoversIn(inventory) };
      } catch (error) {
        if (this.#isClosed) throw error;
        log.error({ err: error }, 'the host could not be looked at');
        await pause(pauseMs, undefined, { ref: false });
        pauseMs = Math.min(2 * pauseMs, LIMITS.stepRetryMaxMs);
      }
    }
  }

  #adopt(record: VmRecord, identity: ProcessIdentity): Promise<RunningVm | null> {
    const { state, hypervisors } = this.#parts;
    const launched = state.store.config(record.id, record.launchedConfigVersion);
    return hypervisors.adopt(record, identity, launched?.config);
  }

  #count(record: VmRecord, missed: ExitMeaning): void {
    if (record.wanted.state === 'running' && !owesLaunch(record)) {
      if (record.process !== null) this.#counts[missed.status] += 1;
    } else if (record.status !== 'stopped') this.#counts.undone += 1;
  }

  async #endOrphans(vmId: number, processes: readonly ProcessIdentity[]): Promise<void> {
    const { host, log } = this.#parts;
    for (const identity of processes) {
      log.warn({ vmId, ...identity }, 'ending a hypervisor that no VM owns');
      const process = await host.adopt(vmId, identity);
      await process?.signal('SIGKILL');
      await process?.exited;
    }
  }

  #removalsOf(vmId: number, left: Leftovers): Promise<void>[] {
    const { host } = this.#parts;
    return [
      ...left.tapNames.map((name) => host.removeTap(name)),
      ...left.cgroupNames.map((name) => host.removeCgroup(name)),
      ...(left.hasRunDirectory ? [host.removeRunDirectory(vmId)] : []),
      ...(left.hasDisks ? [host.removeDisks(vmId)] : []),
    ];
  }
}

/** The kernel has something of it. */
function isHeld({ processes, tapNames, cgroupNames }: Leftovers): boolean {
  return processes.length + tapNames.length + cgroupNames.length > 0;
}

function countOf(left: Leftovers, withFiles = false): number {
  const files = withFiles ? Number(left.hasRunDirectory) + Number(left.hasDisks) : 0;
  return left.processes.length + left.tapNames.length + left.cgroupNames.length + files;
}

/** Why a hypervisor that should run is not there. */
function meaningOfAbsence(
  { bootId, orderlyExitIds }: HostInventory,
  record: VmRecord,
): ExitMeaning {
  if (record.process !== null && record.process.bootId !== bootId) {
    return { status: 'stopped', message: 'The host was restarted' };
  }
  if (orderlyExitIds.includes(record.id)) {
    return { status: 'stopped', message: 'The guest powered off while the daemon was down' };
  }
  return { status: 'crashed', message: 'The hypervisor ended while the daemon was down' };
}
