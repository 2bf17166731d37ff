// engine, vms: writes changes of a VM's record. Each change is one transaction, together with its event. What is to be
// done is decided in next-step.ts.

import { type Clock, toTimestamp } from '../../lib/clock.ts';
import type { VmSize } from '../budget/rules.ts';
import { crashedCondition, runningCondition } from '../conditions/vm-conditions.ts';
import { BY_DAEMON, BY_DEADLINE, BY_EXIT } from '../events/cause.ts';
import { type VmEventType, vmEvent } from '../events/events.ts';
import type { AddressPool } from '../network/addresses.ts';
import type { Write } from '../ports/store-ports.ts';
import type {
  Cause,
  ConfigRecord,
  EventBody,
  OperationKind,
  ProcessIdentity,
  VmRecord,
  WorkloadExit,
} from '../records.ts';
import { putVm, type State, type VmChange } from '../state/state.ts';
import { deadlineIn, leftMs } from '../vm-record/deadline.ts';
import { changed, needsLaunch, stateConflict } from '../vm-record/status.ts';
import type { EndReport } from './ends/end-reader.ts';
import { answeredGraceMsOf, configuredGraceMs } from './ends/grace.ts';
import type { Journal } from './journal.ts';
import type { LaunchFacts } from './launch/launch-planner.ts';

export interface RecordWriterParts {
  readonly state: State;
  readonly addresses: AddressPool;
  readonly clock: Clock;
  readonly journal: Pick<Journal, 'begin'>;
}

export class RecordWriter {
  readonly #parts: RecordWriterParts;

  constructor(parts: RecordWriterParts) {
    this.#parts = parts;
  }

  /**
   * Stores a new VM. `lastVmId` is the highest id allocated so far, which may differ from this one, because creates may
   * reach the disk in another order.
   */
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
   * Stores that a launch is wanted: a start or a restart. `check` throws if the VM's status does not allow it or the
   * host has no capacity, and returns the admitted size. `graceMs` applies to the guest of the previous launch. Returns
   * the number of the launch.
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
          observed: { attempt: 1, isRelaunch: false, isReleased: false, exit: null },
        },
        this.#nowMs(),
      );
      return { record: next, events: [wantedEvent(startingOrStopping(next), next, message)] };
    });
    this.#parts.journal.begin(vmId, record.status === 'stopping' ? 'restart' : 'start', cause);
    return record.wanted.launch;
  }

  /**
   * Stores that the VM shall be stopped. A stopped VM stays as it is, without an event, and is no longer wanted to run.
   * The grace period of a VM that is stopping may be shortened. Resolves to false if nothing changed.
   */
  wantStop(vmId: number, graceMs: number | null, cause: Cause): Promise<boolean> {
    return this.#wantEnd(vmId, 'stop', cause, (before) => {
      if (before.status === 'stopped') return keptStopped(before, cause);
      if (before.wanted.state !== 'running') return this.#withShorterGrace(before, graceMs, cause);
      const next = changed(before, { wanted: { state: 'stopped', graceMs, cause } }, this.#nowMs());
      const type = next.status === 'stopping' ? 'VM_STOPPING' : 'VM_STOPPED';
      return { record: next, events: [wantedEvent(type, next)] };
    });
  }

  /**
   * Stores that the VM shall be deleted. The grace period of a VM that is being deleted may be shortened. Resolves to
   * false if nothing changed.
   */
  wantDelete(vmId: number, graceMs: number | null, cause: Cause): Promise<boolean> {
    return this.#wantEnd(vmId, 'delete', cause, (before) => {
      if (before.wanted.state === 'deleted') return this.#withShorterGrace(before, graceMs, cause);
      const next = changed(before, { wanted: { state: 'deleted', graceMs, cause } }, this.#nowMs());
      return { record: next, events: [wantedEvent('VM_DELETING', next)] };
    });
  }

  /**
   * Stores that a VM shall be deleted because its deadline has passed. Resolves to false if it has another one by now, or is
   * being deleted.
   */
  wantExpiry(vmId: number): Promise<boolean> {
    return this.#wantEnd(vmId, 'delete', BY_DEADLINE, (before) => {
      const { deadline = null } = before;
      if (before.wanted.state === 'deleted' || deadline === null) return null;
      if (leftMs(deadline, this.#parts.clock) > 0) return null;
      const wanted = { state: 'deleted', graceMs: null, cause: BY_DEADLINE } as const;
      const next = changed(before, { wanted }, this.#nowMs());
      const message = `Its deadline has passed: ${toTimestamp(deadline.atMs)}`;
      return { record: next, events: [wantedEvent('VM_DELETING', next, message)] };
    });
  }

  /** Stores when a VM shall be deleted, in so many seconds; null: it stays. VM_STATE_CONFLICT while it is being deleted. */
  async setDeadline(vmId: number, seconds: number | null, cause: Cause): Promise<void> {
    await this.#update(vmId, (before) => {
      const { name, status, wanted } = before;
      if (wanted.state === 'deleted') throw stateConflict(name, status, 'gets no deadline');
      if (seconds === null && (before.deadline ?? null) === null) return null;
      const nowMs = this.#nowMs();
      const deadline = seconds === null ? null : deadlineIn(seconds, nowMs, this.#parts.clock);
      const next = changed(before, { deadline }, nowMs);
      const message = deadline === null ? 'It stays' : `Deleted at ${toTimestamp(deadline.atMs)}`;
      return { record: next, events: [vmEvent('VM_DEADLINE_CHANGED', next, message, cause)] };
    });
  }

  /** Stores what a launch is made from. Writes nothing if the record has it already. */
  launching(vmId: number, facts: LaunchFacts): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      const keys = Object.keys(facts) as (keyof LaunchFacts)[];
      if (keys.every((key) => before[key] === facts[key])) return null;
      return { record: changed(before, facts, this.#nowMs()), events: [] };
    });
  }

  /** Stores that the hypervisor runs. */
  running(vmId: number, process: ProcessIdentity, message?: string): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      // The wanted launch number does not change while a VM is being launched.
      const { launch } = before.wanted;
      const observed = { launch, isRelaunch: false, end: null, isReleased: false, exit: null };
      const nowMs = this.#nowMs();
      const conditions = [runningCondition(nowMs)];
      const changes = { process, neverRan: false, observed, conditions };
      const next = changed(before, changes, nowMs);
      return { record: next, events: [wantedEvent('VM_RUNNING', next, message)] };
    });
  }

  /**
   * Stores an end that nobody asked for. With `again` the VM is launched again; a broken clock counts as another
   * attempt of the same launch. A VM whose workload has ended for good is not wanted to run any more. What a request has
   * wanted meanwhile stays wanted.
   */
  ended(vmId: number, report: EndReport, isReleased: boolean) {
    const { meaning, exit } = report;
    return this.#update(vmId, (before) => {
      const again = before.wanted.state === 'running' ? report.again : null;
      // What was to be launched again and is not, has another message.
      const message = again === report.again ? report.message : meaning.message;
      const isNewer = needsLaunch(before);
      const observed = again
        ? {
            launch: before.wanted.launch - 1,
            attempt: again === 'boot' ? before.observed.attempt + 1 : 1,
            isRelaunch: true,
            end: null,
            isReleased: false,
          }
        : {
            end: meaning.status,
            isReleased: isReleased && !isNewer,
            exit: isNewer ? null : (exit ?? null),
          };
      const nowMs = this.#nowMs();
      const isCrash = meaning.status === 'crashed';
      const crashed = crashedCondition(meaning.reason ?? 'Crashed', message, nowMs);
      const conditions = isCrash && again === null ? [crashed] : [];
      const isOver = exit !== undefined && before.wanted.state === 'running' && !isNewer;
      const wanted = isOver ? ({ state: 'stopped', cause: BY_EXIT } as const) : {};
      const next = changed(before, { process: null, wanted, observed, conditions }, nowMs);
      if (exit !== undefined) return { record: next, events: [exitEvent(next, message, exit)] };
      if (again) return { record: next, events: [wantedEvent('VM_RELAUNCHED', next, message)] };
      const type = isCrash ? 'VM_CRASHED' : 'VM_STOPPED';
      return { record: next, events: [vmEvent(type, next, message)] };
    });
  }

  /** Stores that nothing is left on the host: a stop is complete, or the launch of a restart follows. */
  released(vmId: number): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      const isLaunchNeeded = before.wanted.state === 'running' && before.process !== null;
      const observed = isLaunchNeeded ? {} : { isReleased: true };
      // The reason of a crash stays visible after the VM is released.
      const keepsEnd = before.process === null && before.observed.end === 'crashed';
      const conditions = keepsEnd ? (before.conditions ?? []) : [];
      const next = changed(before, { process: null, observed, conditions }, this.#nowMs());
      if (!isLaunchNeeded) {
        const isChanged = next.status !== before.status;
        return { record: next, events: isChanged ? [wantedEvent('VM_STOPPED', next)] : [] };
      }
      const stopped: VmRecord = { ...next, status: 'stopped' };
      return {
        record: next,
        events: [wantedEvent('VM_STOPPED', stopped), wantedEvent('VM_STARTING', next)],
      };
    });
  }

  /**
   * Stores that the wanted launch is given up. A VM that failed when it was launched again has run before, so it counts
   * as crashed.
   */
  failed(vmId: number, message: string): Promise<VmRecord> {
    return this.#update(vmId, (before) => {
      const { launch } = before.wanted;
      const end = before.observed.isRelaunch ? 'crashed' : 'stopped';
      const observed = { launch, attempt: 1, isRelaunch: false, end, isReleased: true } as const;
      const nowMs = this.#nowMs();
      const isCrash = end === 'crashed';
      const conditions = isCrash ? [crashedCondition('LaunchFailed', message, nowMs)] : [];
      const next = changed(before, { process: null, observed, conditions }, nowMs);
      const type = isCrash ? 'VM_CRASHED' : 'VM_STOPPED';
      return { record: next, events: [wantedEvent(type, next, message)] };
    });
  }

  /** Records that an autostart failed. Does nothing if the VM is not stopped or crashed any more. */
  async notStarted(vmId: number, message: string): Promise<void> {
    await this.#update(vmId, (before) => {
      if (before.status !== 'stopped' && before.status !== 'crashed') return null;
      const next = changed(before, {}, this.#nowMs());
      const type = before.status === 'crashed' ? 'VM_CRASHED' : 'VM_STOPPED';
      return { record: next, events: [vmEvent(type, next, message, BY_DAEMON)] };
    });
  }

  /** Removes the record of a VM of which nothing is left. Its address becomes reusable after a quarantine. */
  async removed(vmId: number, message: string): Promise<void> {
    const { state, addresses } = this.#parts;
    const gone = await state.remove(vmId, (before) => {
      const record = changed(before, { process: null }, this.#nowMs());
      // A deleted VM has no status in its record, so the event gets one.
      const event = wantedEvent('VM_DELETED', record, message);
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
    let isChanged = false;
    await this.#update(vmId, (before) => {
      const changes = change(before);
      isChanged = changes !== null;
      return changes;
    });
    if (isChanged) this.#parts.journal.begin(vmId, kind, cause);
    return isChanged;
  }

  /** A grace period can be shortened, but not prolonged. */
  #withShorterGrace(before: VmRecord, graceMs: number | null, cause: Cause): VmChange | null {
    const configuredMs = configuredGraceMs(
      this.#parts.state.configOf(before, before.configVersion).config,
    );
    const longest = { configuredMs, hasBooted: true, isAgentSilent: false };
    const given = before.wanted.graceMs ?? answeredGraceMsOf(before.wanted, longest);
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

/** A VM that ended by itself shall stay ended. This makes a difference only after a restart of the host. */
function keptStopped(before: VmRecord, cause: Cause): VmChange | null {
  if (before.wanted.state === 'stopped') return null;
  const wanted = { state: 'stopped', cause } as const;
  return { record: changed(before, { wanted }, before.updatedAtMs), events: [] };
}

/** An event of work towards the wanted state. Its cause is the cause of that state. */
function wantedEvent(type: VmEventType, record: VmRecord, message?: string) {
  return vmEvent(type, record, message, record.wanted.cause);
}

function exitEvent(record: VmRecord, message: string, { code, signal }: WorkloadExit): EventBody {
  const number = code === null ? { exit_signal: signal ?? 0 } : { exit_code: code };
  return { ...vmEvent('VM_EXITED', record, message), ...number };
}

function startingOrStopping({ status }: VmRecord): VmEventType {
  return status === 'stopping' ? 'VM_STOPPING' : 'VM_STARTING';
}
