// engine, vms: what is written down of a VM's life: each change of its record, with the event that tells of it, is one
// transaction. What is to be done is not decided here.

import type { Clock } from '../../lib/clock.ts';
import type { AddressPool } from '../addresses.ts';
import type { VmSize } from '../budget/rules.ts';
import { BY_DAEMON } from '../cause.ts';
import { crashedCondition, runningCondition } from '../conditions/vm-conditions.ts';
import { type VmEventType, vmEvent } from '../events.ts';
import type { Cause, ConfigRecord, OperationKind, ProcessIdentity, VmRecord } from '../records.ts';
import { putVm, type State, type VmChange } from '../state.ts';
import type { Write } from '../store-ports.ts';
import type { EndStory } from './end-reader.ts';
import type { Journal } from './journal.ts';
import { changed } from './status.ts';

export interface NotesParts {
  readonly state: State;
  readonly addresses: AddressPool;
  readonly clock: Clock;
  readonly journal: Pick<Journal, 'begin'>;
}

/** What a launch settles of the record before anything is made for it. */
export type LaunchFacts = Pick<
  VmRecord,
  'kernelCmdline' | 'launchedConfigVersion' | 'runtime' | 'cpuCores' | 'memoryMb' | 'driver'
>;

export class Notes {
  readonly #parts: NotesParts;

  constructor(parts: NotesParts) {
    this.#parts = parts;
  }

  /** A new VM. `lastVmId` is the highest id given so far, not this one: creates may reach the disk in another order. */
  async created(record: VmRecord, config: ConfigRecord['config'], lastVmId: number): Promise<void> {
    const { id: vmId, createdAtMs: updatedAtMs } = record;
    const { ipAddress } = record.leases;
    const writes: Write[] = [
      putVm(record),
      { table: 'configs', key: [vmId, 1], value: { vmId, version: 1, config, updatedAtMs } },
      { table: 'meta', key: 'lastVmId', value: lastVmId },
    ];
    if (ipAddress !== null) {
      writes.push({ table: 'addresses', key: ipAddress, value: { vmId, releasedAtMs: null } });
    }
    const { cause = BY_DAEMON } = record.wanted;
    await this.#parts.state.commit(writes, [vmEvent('VM_CREATED', record, undefined, cause)]);
    this.#parts.journal.begin(vmId, 'create', cause);
  }

  /**
   * A start or a restart. `check` throws where the VM's status does not allow one or the host has no room for it, and says
   * what it is admitted with. `graceMs` is for the guest that is in its way. The number of the launch.
   */
  async wantLaunch(
    vmId: number,
    graceMs: number | null,
    cause: Cause,
    check: (record: VmRecord) => VmSize,
    message?: string,
  ): Promise<number> {
    const record = await this.#update(vmId, (before) => {
      const size = check(before);
      const next = changed(
        before,
        {
          wanted: { state: 'running', launch: before.wanted.launch + 1, graceMs, cause, size },
          observed: { attempt: 1, isReleased: false },
        },
        this.#nowMs(),
      );
      return { record: next, events: [eventOfWish(startingOrStopping(next), next, message)] };
    });
    this.#parts.journal.begin(vmId, record.status === 'stopping' ? 'restart' : 'start', cause);
    return record.wanted.launch;
  }

  /**
   * One that is stopped already stays as it is, without an event, and is not wanted to run any more. One that stops
   * already may be hurried. false when nothing else is wanted than before.
   */
  wantStop(vmId: number, graceMs: number | null, cause: Cause): Promise<boolean> {
    return this.#wantEnd(vmId, 'stop', cause, (before) => {
      if (before.status === 'stopped') return alsoWanted(before, cause);
      if (before.wanted.state !== 'running') return this.#hurried(before, graceMs, cause);
      const next = changed(before, { wanted: { state: 'stopped', graceMs, cause } }, this.#nowMs());
      const type = next.status === 'stopping' ? 'VM_STOPPING' : 'VM_STOPPED';
      return { record: next, events: [eventOfWish(type, next)] };
    });
  }

  /** One that is deleted already may be hurried. false when nothing else is wanted than before. */
  wantDelete(vmId: number, graceMs: number | null, cause: Cause): Promise<boolean> {
    return this.#wantEnd(vmId, 'delete', cause, (before) => {
      if (before.wanted.state === 'deleted') return this.#hurried(before, graceMs, cause);
      const next = changed(before, { wanted: { state: 'deleted', graceMs, cause } }, this.#nowMs());
      return { record: next, events: [eventOfWish('VM_DELETING', next)] };
    });
  }

  /** What a launch will be made of. Nothing is written when the record says so already. */
  launching(vmId: number, facts: LaunchFacts): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      const keys = Object.keys(facts) as (keyof LaunchFacts)[];
      if (keys.every((key) => before[key] === facts[key])) return null;
      return { record: changed(before, facts, this.#nowMs()), events: [] };
    });
  }

  running(vmId: number, process: ProcessIdentity, message?: string): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      // The number that is wanted does not rise while a VM is launched.
      const observed = { launch: before.wanted.launch, end: null, isReleased: false };
      const nowMs = this.#nowMs();
      const conditions = [runningCondition(nowMs)];
      const changes = { process, neverRan: false, observed, conditions };
      const next = changed(before, changes, nowMs);
      return { record: next, events: [eventOfWish('VM_RUNNING', next, message)] };
    });
  }

  /** An end that nobody asked for. `again`: its launch is still owed, as one more try where the clock was broken. */
  ended(vmId: number, { meaning, message, again }: EndStory, isReleased: boolean) {
    return this.#update(vmId, (before) => {
      const observed = again
        ? {
            launch: before.wanted.launch - 1,
            attempt: again === 'clock' ? before.observed.attempt + 1 : 1,
            end: null,
            isReleased: false,
          }
        : { end: meaning.status, isReleased };
      const nowMs = this.#nowMs();
      const isCrash = meaning.status === 'crashed';
      const crashed = crashedCondition(meaning.reason ?? 'Crashed', message, nowMs);
      const conditions = isCrash && again === null ? [crashed] : [];
      const next = changed(before, { process: null, observed, conditions }, nowMs);
      if (again) return { record: next, events: [eventOfWish('VM_RELAUNCHED', next, message)] };
      const type = isCrash ? 'VM_CRASHED' : 'VM_STOPPED';
      return { record: next, events: [vmEvent(type, next, message)] };
    });
  }

  /** Nothing is left on the host. What was asked for has come, or the launch of a restart comes now. */
  released(vmId: number): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      const isOwed = before.wanted.state === 'running' && before.process !== null;
      const observed = isOwed ? {} : { isReleased: true };
      // How it has crashed is still to be read when the host has let go of it.
      const keepsEnd = before.process === null && before.observed.end === 'crashed';
      const conditions = keepsEnd ? (before.conditions ?? []) : [];
      const next = changed(before, { process: null, observed, conditions }, this.#nowMs());
      if (!isOwed) {
        const isNews = next.status !== before.status;
        return { record: next, events: isNews ? [eventOfWish('VM_STOPPED', next)] : [] };
      }
      const stopped: VmRecord = { ...next, status: 'stopped' };
      return {
        record: next,
        events: [eventOfWish('VM_STOPPED', stopped), eventOfWish('VM_STARTING', next)],
      };
    });
  }

  /** The launch that is wanted is given up. One that was launched again has run, and did not end as it should. */
  failed(vmId: number, message: string): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      const { launch } = before.wanted;
      const end = before.observed.attempt > 1 ? 'crashed' : 'stopped';
      const observed = { launch, attempt: 1, end, isReleased: true } as const;
      const nowMs = this.#nowMs();
      const isCrash = end === 'crashed';
      const conditions = isCrash ? [crashedCondition('LaunchFailed', message, nowMs)] : [];
      const next = changed(before, { process: null, observed, conditions }, nowMs);
      const type = isCrash ? 'VM_CRASHED' : 'VM_STOPPED';
      return { record: next, events: [eventOfWish(type, next, message)] };
    });
  }

  /** It should have come up and stays as it is. Nothing where it does not run for another reason meanwhile. */
  async notStarted(vmId: number, message: string): Promise<void> {
    await this.#update(vmId, (before) => {
      if (before.status !== 'stopped' && before.status !== 'crashed') return null;
      const next = changed(before, {}, this.#nowMs());
      const type = before.status === 'crashed' ? 'VM_CRASHED' : 'VM_STOPPED';
      return { record: next, events: [vmEvent(type, next, message, BY_DAEMON)] };
    });
  }

  /** Nothing of the VM is left anywhere: its record goes, its address rests. */
  async removed(vmId: number, message: string): Promise<void> {
    const { state, addresses } = this.#parts;
    const gone = await state.remove(vmId, (before) => {
      const record = changed(before, { process: null }, this.#nowMs());
      // The end of a life, as a deployment's: there is no VM any more that could have a status.
      const event = eventOfWish('VM_DELETED', record, message);
      return { record, events: [{ ...event, status: 'deleted' }] };
    });
    const { ipAddress } = gone.leases;
    if (ipAddress !== null) addresses.release(ipAddress);
  }

  async #wantEnd(
    vmId: number,
    kind: OperationKind,
    cause: Cause,
    change: (record: VmRecord) => VmChange | null,
  ): Promise<boolean> {
    let isNews = false;
    await this.#update(vmId, (before) => {
      const changes = change(before);
      isNews = changes !== null;
      return changes;
    });
    if (isNews) this.#parts.journal.begin(vmId, kind, cause);
    return isNews;
  }

  /** A grace that was given is never prolonged. */
  #hurried(before: VmRecord, graceMs: number | null, cause: Cause): VmChange | null {
    const given = before.wanted.graceMs ?? Number.POSITIVE_INFINITY;
    if (graceMs === null || graceMs >= given) return null;
    return { record: changed(before, { wanted: { graceMs, cause } }, this.#nowMs()), events: [] };
  }

  #update(vmId: number, change: (record: VmRecord) => VmChange | null): Promise<VmRecord> {
    return this.#parts.state.update(vmId, change);
  }

  #nowMs(): number {
    return this.#parts.clock.nowMs();
  }
}

/** One that ended by itself and shall stay so: only a restart of the host makes a difference. */
function alsoWanted(before: VmRecord, cause: Cause): VmChange | null {
  if (before.wanted.state === 'stopped') return null;
  const wanted = { state: 'stopped', cause } as const;
  return { record: changed(before, { wanted }, before.updatedAtMs), events: [] };
}

/** Of what was done because it is wanted: the request of the wish caused it. */
function eventOfWish(type: VmEventType, record: VmRecord, message?: string) {
  return vmEvent(type, record, message, record.wanted.cause);
}

function startingOrStopping({ status }: VmRecord): VmEventType {
  return status === 'stopping' ? 'VM_STOPPING' : 'VM_STARTING';
}
