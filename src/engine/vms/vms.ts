// engine, vms: the operations on a VM. A request changes the wanted state in one transaction and waits until the
// observed state matches. The executor does the work.

import { VolantError } from '../../lib/errors.ts';
import type { CreateVmRequest, VmStatus } from '../../schema/vm.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import { BY_DAEMON } from '../events/cause.ts';
import type { Cause, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { stateConflict } from '../vm-record/status.ts';
import type { Admission, Draft, ReplicaOrigin } from './admission.ts';
import type { Executor, Goal } from './executor.ts';
import type { LaunchPlanner } from './launch/launch-planner.ts';
import type { Operations } from './operations.ts';
import type { LiveVms } from './processes/live.ts';
import type { RecordWriter } from './record-writer.ts';

export interface VmsParts {
  readonly state: State;
  readonly admission: Admission;
  readonly planner: LaunchPlanner;
  readonly recordWriter: RecordWriter;
  readonly live: LiveVms;
  readonly executor: Executor;
  readonly operations: Operations;
}

/** The progress of a request. */
export interface Progress {
  /** Resolves when the wanted state is on disk. Stays pending if the request was refused. */
  readonly accepted: Promise<void>;
  /** Resolves when the observed state matches. Rejects with the error of the failed work. */
  readonly done: Promise<void>;
}

const STARTABLE: readonly VmStatus[] = ['stopped', 'crashed'];
const RESTARTABLE: readonly VmStatus[] = ['running', 'stopped', 'crashed'];

interface Allowed {
  readonly statuses: readonly VmStatus[];
  readonly why: string;
  /** Allowed only if the VM was not stopped on purpose. */
  readonly isWanted?: boolean;
}

interface LaunchIntent {
  readonly graceMs: number | null;
  readonly cause: Cause;
  /** The message of its event. */
  readonly message?: string;
}

export class Vms {
  readonly #parts: VmsParts;
  /** VMs with a delete request that is waiting. */
  readonly #deleting = new Set<number>();

  constructor(parts: VmsParts) {
    this.#parts = parts;
  }

  /**
   * Creates and launches a VM. If that fails, nothing is left of it. Queued creates are served fairly between the
   * clients of their causes.
   */
  create(request: CreateVmRequest, origin?: ReplicaOrigin, cause: Cause = BY_DAEMON): Progress {
    return progressOf((accept) => this.#create(request, origin, cause, accept));
  }

  /** Launches a stopped or crashed VM; VM_STATE_CONFLICT in other states. Throws MEMORY_EXHAUSTED or CPU_EXHAUSTED. */
  start(name: string, cause: Cause = BY_DAEMON): Progress {
    const allows = { statuses: STARTABLE, why: 'cannot be started' };
    return progressOf((accept) => this.#launch(name, allows, { graceMs: null, cause }, accept));
  }

  /**
   * As `start`, on the daemon's own decision, which `message` explains in the event. Only if the VM is still wanted to
   * run.
   */
  startAgain(name: string, message: string, cause: Cause): Progress {
    const allows = { statuses: STARTABLE, why: 'cannot be started', isWanted: true };
    return progressOf((accept) =>
      this.#launch(name, allows, { graceMs: null, cause, message }, accept),
    );
  }

  /** Ends and launches a VM. VM_STATE_CONFLICT while it starts, stops or is deleted. `graceMs`: as for `stop`. */
  restart(name: string, graceMs: number | null = null, cause: Cause = BY_DAEMON): Progress {
    const allows = { statuses: RESTARTABLE, why: 'cannot be restarted' };
    return progressOf((accept) => this.#launch(name, allows, { graceMs, cause }, accept));
  }

  /**
   * Stops a VM. Idempotent: a stopped VM stays as it is, without an event. A launch that waits is given up. If the VM
   * never ran, it is removed and this throws VM_NOT_FOUND. `graceMs` is the grace period; null leaves it to the config.
   * A second stop can shorten the grace period, but not prolong it.
   */
  async stop(name: string, graceMs: number | null = null, cause: Cause = BY_DAEMON): Promise<void> {
    const { recordWriter, state, operations } = this.#parts;
    const { id, status, wanted } = state.require(name);
    if (status === 'stopped' && wanted.state === 'stopped') return;
    this.#requireOpen(id);
    const isChanged = await recordWriter.wantStop(id, graceMs, cause);
    if (isChanged) operations.giveUp(id, givenUp(name, 'stopped'));
    const launch = state.find(id)?.wanted.launch ?? 0;
    await this.#until(id, (record) => {
      if (record === undefined) throw notFound(name);
      // A VM that was started again in the meantime has been stopped before.
      return record.status === 'stopped' || record.wanted.launch > launch;
    });
  }

  /**
   * Deletes a VM in any state. A second concurrent call throws VM_NOT_FOUND. A launch that waits is given up.
   * `graceMs`: as for `stop`, but null means a short one.
   */
  async destroy(
    name: string,
    graceMs: number | null = null,
    cause: Cause = BY_DAEMON,
  ): Promise<void> {
    const { recordWriter, state, operations } = this.#parts;
    const { id } = state.require(name);
    this.#requireOpen(id);
    const isSecond = this.#deleting.has(id);
    this.#deleting.add(id);
    try {
      const isChanged = await recordWriter.wantDelete(id, graceMs, cause);
      if (isChanged) operations.giveUp(id, givenUp(name, 'deleted'));
      await this.#until(id, (record) => record === undefined);
    } finally {
      if (!isSecond) this.#deleting.delete(id);
    }
    if (isSecond) throw notFound(name);
  }

  /** Deletes a VM at its deadline. Does nothing if it has another one by now, or none. Throws VM_NOT_FOUND. */
  async expire(id: number): Promise<void> {
    const { recordWriter, operations } = this.#parts;
    this.#requireOpen(id);
    if (!(await recordWriter.wantExpiry(id))) return;
    operations.giveUp(
      id,
      new VolantError('VM_STATE_CONFLICT', 'The deadline of the VM has passed'),
    );
    await this.#until(id, (record) => record === undefined);
  }

  /** Gives a VM another deadline, in so many seconds; null: it stays. VM_STATE_CONFLICT while it is being deleted. */
  async setDeadline(name: string, seconds: number | null, cause: Cause = BY_DAEMON): Promise<void> {
    const { recordWriter, state } = this.#parts;
    await recordWriter.setDeadline(state.require(name).id, seconds, cause);
  }

  /**
   * Why a VM of this config could not be launched now; null if it could. `inPlaceOf` is a VM whose share would become
   * free.
   */
  refusalOf(config: VmConfig, inPlaceOf: number | null): VolantError | null {
    return this.#parts.admission.refusalOf(config, inPlaceOf);
  }

  /** Calls the listener when a VM has released capacity of the host. Returns a function that unsubscribes. */
  onCapacityFreed(listener: () => void): () => void {
    return this.#parts.admission.onCapacityFreed(listener);
  }

  /** Gives up a launch that waits for an image or for its turn. A launch that does not wait continues. */
  giveUp({ id, name }: VmRecord): void {
    this.#parts.operations.giveUp(id, givenUp(name, 'not wanted any more'));
  }

  async #create(
    request: CreateVmRequest,
    origin: ReplicaOrigin | undefined,
    cause: Cause,
    accept: () => void,
  ): Promise<void> {
    const { operations } = this.#parts;
    const admit = () => this.#admit(request, origin, cause);
    const id = await operations.runIntake(clientOf(cause), admit);
    accept();
    await this.#until(id, this.#launched(id, request.name, 1));
  }

  /** Resolves to the VM's id when its record is stored. */
  async #admit(
    request: CreateVmRequest,
    origin: ReplicaOrigin | undefined,
    cause: Cause,
  ): Promise<number> {
    const { admission, planner } = this.#parts;
    const { config, replica } = admission.resolve(request, origin);
    const preparation = await planner.prepare(config, null);
    const draft = await admission.reserve({
      name: request.name,
      config,
      preparation,
      replica,
      cause,
      deadlineSeconds: request.deadline_seconds,
    });
    await this.#store(draft);
    return draft.record.id;
  }

  async #store(draft: Draft): Promise<void> {
    const { admission, operations, recordWriter, live } = this.#parts;
    const { record, config } = draft;
    try {
      operations.requireOpen();
      live.add(record.id, draft);
      // This may differ from the VM's own id: creates may reach the disk in another order.
      await recordWriter.created(record, config, admission.lastVmId);
    } catch (error) {
      live.forget(record.id);
      throw error;
    } finally {
      admission.settle(draft);
    }
  }

  async #launch(
    name: string,
    allows: Allowed,
    { graceMs, cause, message }: LaunchIntent,
    accept: () => void,
  ): Promise<void> {
    const { state, recordWriter, operations, executor, admission } = this.#parts;
    const { id } = state.require(name);
    operations.requireQueueSpace(clientOf(cause));
    executor.requireQueueSpace(id);
    let isAdmitted = false;
    const check = (record: VmRecord) => {
      const { status, wanted } = record;
      const isAllowed = allows.isWanted !== true || wanted.state === 'running';
      if (!isAllowed || !allows.statuses.includes(status)) {
        throw stateConflict(name, status, allows.why);
      }
      const size = admission.admitLaunch(record);
      isAdmitted = true;
      return size;
    };
    let launch: number;
    try {
      launch = await recordWriter.wantLaunch(id, graceMs, cause, check, message);
    } finally {
      if (isAdmitted) admission.settleLaunch(id);
    }
    accept();
    await this.#until(id, this.#launched(id, name, launch));
  }

  /** A goal: the launch with this number succeeded. Throws the error of that launch, or that it was given up. */
  #launched(id: number, name: string, launch: number): Goal {
    const { live } = this.#parts;
    let error: unknown;
    return (record, isSettled) => {
      const failure = live.failureOf(id);
      if (failure?.launch === launch) error = failure.error;
      if (record === undefined) throw error ?? givenUp(name, 'deleted');
      const { wanted, observed } = record;
      if (observed.launch >= launch) {
        if (error !== undefined) throw error;
        return true;
      }
      if (isSettled && wanted.state !== 'running') throw error ?? givenUp(name, 'stopped');
      return false;
    };
  }

  #until(id: number, goal: Goal): Promise<void> {
    const { executor } = this.#parts;
    const reached = executor.until(id, goal);
    executor.wake(id);
    return reached;
  }

  /** For requests that free capacity: they are accepted however long the queue is. */
  #requireOpen(id: number): void {
    this.#parts.operations.requireOpen();
    this.#parts.executor.requireQueueSpace(id);
  }
}

function progressOf(work: (accept: () => void) => Promise<void>): Progress {
  let accept: () => void = () => undefined;
  const accepted = new Promise<void>((resolve) => {
    accept = resolve;
  });
  const done = work(() => accept());
  return { accepted, done };
}

function clientOf({ client = '' }: Cause): string {
  return client;
}

function notFound(name: string): VolantError {
  return new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
}

/** The error of a launch that is given up while it waits for an image or for its turn. */
function givenUp(name: string, how: string): VolantError {
  return new VolantError('VM_STATE_CONFLICT', `VM ${name} was ${how} while it waited to start`);
}
