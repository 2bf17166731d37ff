// engine, vms: inspects the host when a daemon starts, and when its knowledge may be wrong. It adopts hypervisors that
// live and finds what is left of others. It removes what no record owns. What happens to a VM afterwards is decided in
// next-step.ts.

import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { Turn } from '../../../lib/queues/turn.ts';
import type { Boots } from '../../boots/boots.ts';
import type { HostInventory, ProcessHost } from '../../ports/process-ports.ts';
import type { ProcessIdentity, VmRecord } from '../../records.ts';
import type { State } from '../../state/state.ts';
import { needsLaunch } from '../../vm-record/status.ts';
import type { ExitMeaning } from '../processes/exit-meaning.ts';
import type { Hypervisors } from '../processes/hypervisors.ts';
import type { LiveVms, RunningVm } from '../processes/live.ts';
import { kernelCountOf, type Leftovers, leftoversIn } from './leftovers.ts';
import type { Sweeper } from './sweeper.ts';

/** The unit of start times in /proc: 1/100 s on every architecture that we run on (proc(5)). */
const TICK_MS = 10;

/** The host as of the last inspection. */
interface Seen {
  readonly inventory: HostInventory;
  readonly leftovers: ReadonlyMap<number, Leftovers>;
}

/** What an inspection says of one VM. */
interface Found {
  readonly inventory: HostInventory;
  readonly left: Leftovers | undefined;
  /** null: no hypervisor of it lives. */
  readonly vm: RunningVm | null;
}

/** The results of all inspections so far. */
export interface InspectionCounts {
  readonly adopted: number;
  readonly crashed: number;
  readonly stopped: number;
  /** Operations that the end of an earlier daemon interrupted, and that are completed now. */
  readonly undone: number;
  /** Things of VMs that do not run, or that have no record. */
  readonly swept: number;
}

export interface HostInspectionParts {
  readonly state: State;
  readonly host: Pick<ProcessHost, 'inventory'>;
  readonly hypervisors: Hypervisors;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly sweeper: Sweeper;
  readonly clock: Clock;
  readonly log: Logger;
}

export class HostInspection {
  readonly #parts: HostInspectionParts;
  readonly #counts = { adopted: 0, crashed: 0, stopped: 0, undone: 0, swept: 0 };
  #inspecting: Promise<Seen> | undefined;
  #bootId: string | null = null;

  constructor(parts: HostInspectionParts) {
    this.#parts = parts;
  }

  get counts(): InspectionCounts {
    return { ...this.#counts };
  }

  /** The boot id of the host as of the last inspection; null before the first one. */
  get bootId(): string | null {
    return this.#bootId;
  }

  /** The step `look` of one VM: afterwards it is known whether its hypervisor lives. */
  async take(record: VmRecord, turn: Turn): Promise<void> {
    const { live, state, boots, clock } = this.#parts;
    // Without a share of the budget: so all hypervisors of an earlier daemon are opened together, by a few jobs.
    const { inventory, left, vm } = await turn.wait(() => this.#find(record));
    if (vm !== null) {
      this.#counts.adopted += 1;
      live.watch(record.id, vm);
      // If its launch is not stored yet, the boot phase begins when it is.
      if (record.process !== null) {
        boots.adopt(record, vm, ageOf(record.process, clock.uptimeMs()));
      }
      return;
    }
    const isReleased =
      record.observed.isReleased && (left === undefined || kernelCountOf(left) === 0);
    if (record.observed.isReleased && left !== undefined) this.#counts.swept += kernelCountOf(left);
    const missed = meaningOfAbsence(inventory, record);
    Object.assign(live.of(record.id), { isKnown: true, isReleased, end: { missed } });
    if (state.find(record.id) !== undefined) this.#count(record, missed);
  }

  /**
   * Removes what the host has of VMs without a record. `lastVmId` is the highest id that an earlier daemon allocated.
   */
  async sweep(lastVmId: number): Promise<void> {
    const { state, sweeper } = this.#parts;
    const { leftovers } = await this.#inspectOnce();
    const orphans = [...leftovers].filter(
      ([vmId]) => vmId <= lastVmId && state.find(vmId) === undefined,
    );
    this.#counts.swept += await sweeper.remove(orphans);
  }

  /** VMs of which the kernel has something, with or without a record; none if the host could not be inspected. */
  async kernelOwners(): Promise<readonly number[]> {
    try {
      const { leftovers } = await this.#inspectOnce();
      return [...leftovers].flatMap(([vmId, left]) => (kernelCountOf(left) > 0 ? [vmId] : []));
    } catch (error) {
      // The audit inspects it again once a minute.
      this.#parts.log.warn({ err: error }, 'what the host has of VMs at rest is not known yet');
      return [];
    }
  }

  /** Discards the last inspection. The next step that needs one inspects the host again. */
  invalidate(): void {
    this.#inspecting = undefined;
  }

  /**
   * One inspection serves all VMs that ask while it runs or after it succeeded. Rejects if the host cannot be inspected
   * before the deadline of that job; the step of each VM is then retried.
   */
  #inspectOnce(): Promise<Seen> {
    if (this.#inspecting !== undefined) return this.#inspecting;
    const inspecting = this.#inspect();
    this.#inspecting = inspecting;
    inspecting.catch((error: unknown) => {
      if (this.#inspecting === inspecting) this.#inspecting = undefined;
      this.#parts.log.error({ err: error }, 'the host could not be inspected');
    });
    return inspecting;
  }

  async #inspect(): Promise<Seen> {
    const inventory = await this.#parts.host.inventory();
    this.#bootId = inventory.bootId;
    return { inventory, leftovers: leftoversIn(inventory) };
  }

  async #find(record: VmRecord): Promise<Found> {
    const { inventory, leftovers } = await this.#inspectOnce();
    const left = leftovers.get(record.id);
    const identity = record.process ?? left?.processes[0] ?? null;
    const vm = identity === null ? null : await this.#adopt(record, identity);
    return { inventory, left, vm };
  }

  #adopt(record: VmRecord, identity: ProcessIdentity): Promise<RunningVm | null> {
    const { state, hypervisors } = this.#parts;
    const launched = () => state.store.config(record.id, record.launchedConfigVersion)?.config;
    return hypervisors.adopt(record, identity, launched);
  }

  #count(record: VmRecord, missed: ExitMeaning): void {
    if (record.wanted.state === 'running' && !needsLaunch(record)) {
      if (record.process !== null) this.#counts[missed.status] += 1;
    } else if (record.status !== 'stopped') this.#counts.undone += 1;
  }
}

/** The age in ms of a process of the host's current boot. */
function ageOf({ startTimeTicks }: ProcessIdentity, uptimeMs: number): number {
  return Math.max(0, uptimeMs - startTimeTicks * TICK_MS);
}

/** Why a hypervisor that should run does not exist. */
function meaningOfAbsence(
  { bootId, orderlyExitIds }: HostInventory,
  record: VmRecord,
): ExitMeaning {
  if (record.process !== null && record.process.bootId !== bootId) {
    return { status: 'stopped', message: 'The host was restarted' };
  }
  if (orderlyExitIds.includes(record.id)) {
    const message = 'The guest powered off while the daemon was down';
    return { status: 'stopped', message, needsConsole: true };
  }
  return { status: 'crashed', message: 'The hypervisor ended while the daemon was down' };
}
