// engine, vms: the look of a daemon at its host, at its start and when what it knows may be wrong. It finds
// the hypervisors that live and what is left of those that do not; what is to be done about a VM is next-step's business.
// What no record owns is swept away here.

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import type { HostInventory, HostPort } from '../ports.ts';
import type { ProcessIdentity, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { ExitMeaning } from './exit-meaning.ts';
import type { Hypervisors } from './hypervisors.ts';
import { kernelCountOf, type Leftovers, leftoversIn } from './leftovers.ts';
import type { LiveVms, RunningVm } from './live.ts';
import type { Turn } from './operations.ts';
import { owesLaunch } from './status.ts';
import type { Sweeper } from './sweeper.ts';

/** What Linux counts in for programs: 1/100 s on every architecture that we run on (proc(5)). */
const TICK_MS = 10;

/** The host, as it was when it was looked at last. */
interface Seen {
  readonly inventory: HostInventory;
  readonly leftovers: ReadonlyMap<number, Leftovers>;
}

/** The results of the looks so far. */
export interface LookCounts {
  readonly adopted: number;
  readonly crashed: number;
  readonly stopped: number;
  /** Cut off by the end of the daemon before, and brought to its end now. */
  readonly undone: number;
  /** Things of VMs that do not run, or that no record knows. */
  readonly swept: number;
}

export interface HostLookParts {
  readonly state: State;
  readonly host: Pick<HostPort, 'inventory'>;
  readonly hypervisors: Hypervisors;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly sweeper: Sweeper;
  readonly clock: Clock;
  readonly log: Logger;
}

export class HostLook {
  readonly #parts: HostLookParts;
  readonly #counts = { adopted: 0, crashed: 0, stopped: 0, undone: 0, swept: 0 };
  #seeing: Promise<Seen> | undefined;
  #bootId: string | null = null;

  constructor(parts: HostLookParts) {
    this.#parts = parts;
  }

  get counts(): LookCounts {
    return { ...this.#counts };
  }

  /** Of the host, as it was seen last; null: nobody has looked. */
  get bootId(): string | null {
    return this.#bootId;
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

  /** Removes what the host has of VMs that no record knows; `lastVmId` is the highest id that an earlier daemon gave. */
  async sweep(lastVmId: number): Promise<void> {
    const { state, sweeper } = this.#parts;
    const { leftovers } = await this.#see();
    const orphans = [...leftovers].filter(
      ([vmId]) => vmId <= lastVmId && state.find(vmId) === undefined,
    );
    this.#counts.swept += await sweeper.remove(orphans);
  }

  /** What was seen counts no more: the next step that needs it looks again. */
  renew(): void {
    this.#seeing = undefined;
  }

  /**
   * One look serves all VMs that ask while it lasts, and those that ask after it went well. Rejects when the host cannot
   * be looked at within the bound of that job: each VM's step is tried again later, and who waits for it is told.
   */
  #see(): Promise<Seen> {
    if (this.#seeing !== undefined) return this.#seeing;
    const seeing = this.#lookAround();
    this.#seeing = seeing;
    seeing.catch((error: unknown) => {
      if (this.#seeing === seeing) this.#seeing = undefined;
      this.#parts.log.error({ err: error }, 'the host could not be looked at');
    });
    return seeing;
  }

  async #lookAround(): Promise<Seen> {
    const inventory = await this.#parts.host.inventory();
    this.#bootId = inventory.bootId;
    return { inventory, leftovers: leftoversIn(inventory) };
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
}

/** Of a process of this boot of the host. */
function ageOf({ startTimeTicks }: ProcessIdentity, uptimeMs: number): number {
  return Math.max(0, uptimeMs - startTimeTicks * TICK_MS);
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
    const message = 'The guest powered off while the daemon was down';
    return { status: 'stopped', message, isOpen: true };
  }
  return { status: 'crashed', message: 'The hypervisor ended while the daemon was down' };
}
