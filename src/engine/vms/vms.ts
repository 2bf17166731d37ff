// engine, vms: what can be asked for of a VM. A request changes what is wanted, in one transaction, and waits until that
// is what is. It carries out nothing itself: that is the executor's business.

import { VolantError } from '../../lib/errors.ts';
import type { CreateVmRequest, VmStatus } from '../../schema/vm.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import { BY_DAEMON } from '../cause.ts';
import type { Cause, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { Admission, Draft, ReplicaOrigin } from './admission.ts';
import type { Executor, Goal } from './executor.ts';
import type { LaunchPlanner } from './launch-planner.ts';
import type { LiveVms } from './live.ts';
import type { Notes } from './notes.ts';
import type { Operations } from './operations.ts';
import { stateConflict } from './status.ts';

export interface VmsParts {
  readonly state: State;
  readonly admission: Admission;
  readonly planner: LaunchPlanner;
  readonly notes: Notes;
  readonly live: LiveVms;
  readonly executor: Executor;
  readonly operations: Operations;
}

/** A request on its way. */
export interface Progress {
  /** Resolves when what is wanted is on disk; never, where it was refused. */
  readonly accepted: Promise<void>;
  /** It is what is. Rejects with the error of what went wrong. */
  readonly done: Promise<void>;
}

const STARTABLE: readonly VmStatus[] = ['stopped', 'crashed'];
const RESTARTABLE: readonly VmStatus[] = ['running', 'stopped', 'crashed'];

interface Allowed {
  readonly statuses: readonly VmStatus[];
  readonly why: string;
  /** Only where it was not stopped on purpose. */
  readonly isWanted?: boolean;
}

interface LaunchWish {
  readonly graceMs: number | null;
  readonly cause: Cause;
  /** For its event. */
  readonly message?: string;
}

export class Vms {
  readonly #parts: VmsParts;
  /** VMs whose delete somebody waits for. */
  readonly #deleting = new Set<number>();

  constructor(parts: VmsParts) {
    this.#parts = parts;
  }

  /** When it fails nothing is left of it. What waits is carried out fairly between the clients of causes. */
  create(request: CreateVmRequest, origin?: ReplicaOrigin, cause: Cause = BY_DAEMON): Progress {
    return progressOf((accept) => this.#create(request, origin, cause, accept));
  }

  /** VM_STATE_CONFLICT unless it is stopped or crashed; MEMORY_EXHAUSTED, CPU_EXHAUSTED. */
  start(name: string, cause: Cause = BY_DAEMON): Progress {
    const allows = { statuses: STARTABLE, why: 'cannot be started' };
    return progressOf((accept) => this.#launch(name, allows, { graceMs: null, cause }, accept));
  }

  /** As `start`, for a reason of the daemon's that its event tells; only where it is still wanted to run. */
  startAgain(name: string, message: string, cause: Cause): Progress {
    const allows = { statuses: STARTABLE, why: 'cannot be started', isWanted: true };
    return progressOf((accept) =>
      this.#launch(name, allows, { graceMs: null, cause, message }, accept),
    );
  }

  /** VM_STATE_CONFLICT while it starts, ends or is deleted. `graceMs`: as `stop` has it. */
  restart(name: string, graceMs: number | null = null, cause: Cause = BY_DAEMON): Progress {
    const allows = { statuses: RESTARTABLE, why: 'cannot be restarted' };
    return progressOf((accept) => this.#launch(name, allows, { graceMs, cause }, accept));
  }

  /**
   * Idempotent: a stopped VM stays as it is, without an event. A launch that waits is given
   * up; of a VM that never ran nothing is left then, and this answers VM_NOT_FOUND. The guest gets `graceMs` to power
   * off, null leaves that to its config; asked again while it has time left, less counts and more does not.
   */
  async stop(name: string, graceMs: number | null = null, cause: Cause = BY_DAEMON): Promise<void> {
    const { notes, state, operations } = this.#parts;
    const { id, status, wanted } = state.require(name);
    if (status === 'stopped' && wanted.state === 'stopped') return;
    this.#requireOpen(id);
    const isNews = await notes.wantStop(id, graceMs, cause);
    if (isNews) operations.giveUp(id, givenUp(name, 'stopped'));
    const launch = state.find(id)?.wanted.launch ?? 0;
    await this.#until(id, (record) => {
      if (record === undefined) throw notFound(name);
      // Whoever started it again in the meantime found it stopped.
      return record.status === 'stopped' || record.wanted.launch > launch;
    });
  }

  /**
   * Works in every status; a second one answers VM_NOT_FOUND. A launch that waits is given up. `graceMs`: as `stop` has
   * it, but null is short.
   */
  async destroy(
    name: string,
    graceMs: number | null = null,
    cause: Cause = BY_DAEMON,
  ): Promise<void> {
    const { notes, state, operations } = this.#parts;
    const { id } = state.require(name);
    this.#requireOpen(id);
    const isSecond = this.#deleting.has(id);
    this.#deleting.add(id);
    try {
      const isNews = await notes.wantDelete(id, graceMs, cause);
      if (isNews) operations.giveUp(id, givenUp(name, 'deleted'));
      await this.#until(id, (record) => record === undefined);
    } finally {
      if (!isSecond) this.#deleting.delete(id);
    }
    if (isSecond) throw notFound(name);
  }

  /** Why no VM of this config would be launched now; `inPlaceOf`: one that would go for it. null: it would be. */
  refusalOf(config: VmConfig, inPlaceOf: number | null): VolantError | null {
    return this.#parts.admission.refusalOf(config, inPlaceOf);
  }

  /** Called when a VM has given back what it took of the host. Returns how to end that. */
  onRoom(listener: () => void): () => void {
    return this.#parts.admission.onRoom(listener);
  }

  /** Ends a launch that waits for an image or for its turn; what goes on without a wait goes on. */
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
    const id = await operations.take(clientOf(cause), admit);
    accept();
    await this.#until(id, this.#launched(id, request.name, 1));
  }

  /** Resolves with the id of the VM when it is written down. */
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
    });
    await this.#writeDown(draft);
    return draft.record.id;
  }

  async #writeDown(draft: Draft): Promise<void> {
    const { admission, operations, notes, live } = this.#parts;
    const { record, config } = draft;
    try {
      operations.requireOpen();
      live.add(record.id, draft);
      // The highest id given so far, not this one: creates may reach the disk in another order.
      await notes.created(record, config, admission.lastVmId);
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
    { graceMs, cause, message }: LaunchWish,
    accept: () => void,
  ): Promise<void> {
    const { state, notes, operations, executor, admission } = this.#parts;
    const { id } = state.require(name);
    operations.requireRoom(clientOf(cause));
    executor.requireRoom(id);
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
      launch = await notes.wantLaunch(id, graceMs, cause, check, message);
    } finally {
      if (isAdmitted) admission.settleLaunch(id);
    }
    accept();
    await this.#until(id, this.#launched(id, name, launch));
  }

  /** The launch of this number went through. Throws why it did not, or that it was given up. */
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

  /** For what gives room back: it is taken however much waits. */
  #requireOpen(id: number): void {
    this.#parts.operations.requireOpen();
    this.#parts.executor.requireRoom(id);
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

/** Why a launch that waits for an image or for its turn ends. */
function givenUp(name: string, how: string): VolantError {
  return new VolantError('VM_STATE_CONFLICT', `VM ${name} was ${how} while it waited to start`);
}
