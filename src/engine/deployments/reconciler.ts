// engine, deployments: the reconciler of one deployment. Each round compares the existing replicas with the desired
// ones and begins the actions of the plan; every change starts another round. plan.ts decides, vms/ creates and deletes.

import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolantError, VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Condition } from '../../schema/condition.ts';
import { requestIn } from '../events/cause.ts';
import type { Readiness } from '../guests/readiness.ts';
import type { Cause, DeploymentRecord, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import type { ReplicaOrigin } from '../vms/admission.ts';
import { configuredGraceMs } from '../vms/ends/grace.ts';
import type { Vms } from '../vms/vms.ts';
import { Backoff } from './backoff.ts';
import { conditionsOf } from './conditions.ts';
import { type Action, type Member, type Present, planDeployment } from './plan.ts';
import { isTaken, problemOf, ReplicaCrashes, replicaName } from './replicas.ts';

export interface ReconcilerParts {
  readonly state: State;
  readonly vms: Vms;
  readonly readiness: Readiness;
  readonly clock: Clock;
  readonly log: Logger;
  /** The current record; undefined if the deployment is gone. */
  readonly record: () => DeploymentRecord | undefined;
  /** Called after each round. */
  readonly onChange: () => void;
}

/** The key of create failures. They concern the deployment, not one index: the next index would fail the same way. */
const ANY_INDEX = 0;

const PAUSES = {
  minMs: LIMITS.replicaBackoffMinMs,
  maxMs: LIMITS.replicaBackoffMaxMs,
  windowMs: LIMITS.crashWindowMs,
};

const NO_CAPACITY: readonly string[] = ['MEMORY_EXHAUSTED', 'CPU_EXHAUSTED'];

export class Reconciler {
  readonly #parts: ReconcilerParts;
  /** Crashes of replicas by index, and creates that failed. */
  readonly #backoff = new Backoff<number>(PAUSES);
  readonly #crashes = new ReplicaCrashes(this.#backoff);
  /** Names that another VM was taking, by index. Nothing has crashed then. */
  readonly #nameBackoff = new Backoff<number>(PAUSES);
  /** The action in progress at each index. */
  readonly #busy = new Map<number, Action['kind']>();
  readonly #watches = new Map<number, () => void>();
  /** Indices whose create was given up; its failure is expected. */
  readonly #givenUp = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #scheduled = false;
  #closed = false;
  #createFailure: string | null = null;
  /** Why the host has no capacity for the next replicas. Capacity that is released starts another round. */
  #noCapacity: string | null = null;
  readonly #unsubscribe: () => void;
  readonly #deleteFailures = new Map<string, VolantError>();
  #lastProgressMs: number;
  #lastReady = -1;
  #conditions: readonly Condition[] = [];
  /** The last request is fulfilled; later actions have other causes. */
  #isDone = false;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#lastProgressMs = parts.clock.monotonicMs();
    this.#unsubscribe = parts.vms.onCapacityFreed(() => {
      if (this.#noCapacity !== null) this.trigger();
    });
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** The errors of replicas that could not be deleted, by name. */
  get deleteFailures(): ReadonlyMap<string, VolantError> {
    const names = new Set(this.members().map(({ name }) => name));
    return new Map([...this.#deleteFailures].filter(([name]) => names.has(name)));
  }

  /** The cause of the current actions: the last request until it is fulfilled, then the deployment itself. */
  get cause(): Cause {
    const asked = this.#isDone ? undefined : this.#parts.record()?.cause;
    return { ...asked, by: 'deployment' };
  }

  /** true if no action is in progress, though one may wait for its backoff. */
  get idle(): boolean {
    return this.#busy.size === 0 && !this.#scheduled;
  }

  /** No action is in progress, and failed actions wait for their backoff. */
  get isStuck(): boolean {
    if (!this.idle) return false;
    if (this.#createFailure !== null) return true;
    // Replicas that fit are waited for.
    return this.#noCapacity !== null && this.members().every((record) => this.#isReady(record));
  }

  /** Starts a round soon. Several calls in one turn of the event loop start one. */
  trigger(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#round();
    });
  }

  /** Retries failed actions without backoff, because a client has asked for a change. */
  retry(): void {
    this.#backoff.forget(ANY_INDEX);
    this.#createFailure = null;
    this.#noCapacity = null;
    this.#deleteFailures.clear();
    this.#isDone = false;
    this.#lastProgressMs = this.#parts.clock.monotonicMs();
    this.trigger();
  }

  /** The periodic round, which also retries failed deletes. */
  tick(): void {
    this.#deleteFailures.clear();
    this.trigger();
  }

  /** Ends the reconciler. Actions in progress continue. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    clearTimeout(this.#timer);
    for (const release of this.#watches.values()) release();
    this.#watches.clear();
  }

  members(): readonly VmRecord[] {
    const name = this.#parts.record()?.name;
    return name === undefined ? [] : this.#parts.state.vms.replicasOf(name);
  }

  /** The existing replicas as the plan's input. */
  present(): Present {
    const name = this.#parts.record()?.name ?? '';
    const creating = [...this.#busy].filter(([, kind]) => kind !== 'delete');
    return {
      members: this.members().map((replica) => this.#memberOf(replica)),
      creating: new Set(creating.map(([index]) => index)),
      isTaken: (index) => isTaken(this.#parts.state, name, index),
    };
  }

  ready(): number {
    return this.members().filter((record) => this.#isReady(record)).length;
  }

  #round(): void {
    const record = this.#parts.record();
    if (record === undefined) return;
    const nowMs = this.#parts.clock.monotonicMs();
    const replicas = this.members();
    this.#watchMembers(replicas);
    this.#giveUpUnwanted(record, replicas);
    for (const replica of replicas) this.#crashes.count(replica, this.#isLost(replica), nowMs);
    const present = this.present();
    const { members } = present;
    const actionsMax = LIMITS.replicaOperationsMax - this.#busy.size;
    const plan = planDeployment({
      desired: record.status === 'deleting' ? 0 : record.desiredReplicas,
      revision: record.revision,
      maxUnavailable: record.maxUnavailable,
      ...present,
      dueAtMs: (index) =>
        Math.max(
          this.#backoff.dueAtMs(index, nowMs),
          this.#backoff.dueAtMs(ANY_INDEX, nowMs),
          this.#nameBackoff.dueAtMs(index, nowMs),
        ),
      nowMs,
      // The desired state of a rebuilt deployment is unknown, so it gets no actions.
      actionsMax: isRebuilt(record) ? 0 : actionsMax,
    });
    const { cause } = this;
    for (const action of this.#fitting(plan.actions, record)) {
      void this.#carryOut(action, causeOf(action, cause));
    }
    this.#wakeAt(plan.wakeAtMs, nowMs);
    this.#describe(record, members, nowMs);
    this.#parts.onChange();
    this.#isDone ||= this.#conditions.some(({ reason }) => reason === 'Complete');
  }

  /**
   * The actions that fit into the host's capacity. Others wait for capacity, and no replica is deleted for a
   * replacement that would not fit.
   */
  #fitting(actions: readonly Action[], { config }: DeploymentRecord): readonly Action[] {
    const refusals = actions.map((action) => {
      if (action.kind === 'delete') return null;
      const inPlaceOf = action.kind === 'replace' ? action.member.vmId : null;
      return this.#parts.vms.refusalOf(config, inPlaceOf);
    });
    this.#noCapacity = refusals.find((refusal) => refusal !== null)?.message ?? null;
    return actions.filter((_, index) => refusals[index] === null);
  }

  async #carryOut(action: Action, cause: Cause): Promise<void> {
    const index = action.kind === 'create' ? action.index : action.member.index;
    this.#busy.set(index, action.kind);
    try {
      const isFree = action.kind === 'create' || (await this.#delete(action.member, cause));
      if (isFree && action.kind !== 'delete') await this.#create(index, cause);
    } finally {
      this.#busy.delete(index);
      this.#givenUp.delete(index);
      this.trigger();
    }
  }

  /** Returns whether the replica is gone. */
  async #delete({ name }: Member, cause: Cause): Promise<boolean> {
    try {
      // The configured grace period also applies to deletes by the reconciler.
      const { config } = this.#parts.record() ?? {};
      const graceMs = config === undefined ? null : configuredGraceMs(config);
      await this.#parts.vms.destroy(name, graceMs, cause);
      return true;
    } catch (error) {
      // VM_NOT_FOUND: another request has deleted it.
      if (error instanceof VolantError && error.code === 'VM_NOT_FOUND') return true;
      const failure = toVolantError(error);
      if (failure.retryAfterSeconds !== undefined) {
        // Too many requests wait for this VM; the delete is planned again later.
        await pause(LIMITS.replicaBackoffMinMs, undefined, { ref: false });
        return false;
      }
      this.#deleteFailures.set(name, failure);
      const facts = { vm: name, ...requestIn(cause), err: error };
      this.#parts.log.error(facts, 'a replica could not be deleted');
      return false;
    }
  }

  async #create(index: number, cause: Cause): Promise<void> {
    // After the old replica is gone, its replacement may not be wanted any more.
    const record = this.#parts.record();
    if (record?.status !== 'active') return;
    // As in the plan, those that are being deleted do not count.
    const isLeaving = ({ replica }: VmRecord) => this.#busy.get(replica?.index ?? 0) === 'delete';
    const staying = this.members().filter((one) => !isLeaving(one));
    if (staying.length >= record.desiredReplicas) return;
    const { config, revision } = record;
    const name = replicaName(record.name, index);
    const origin: ReplicaOrigin = {
      replica: { deployment: record.name, index, revision },
      manifest: config.manifest,
    };
    // The replicas of a deployment share one place in the queue, whatever client requested the change.
    const own = { ...cause, client: `deployment ${record.name}` };
    try {
      await this.#parts.vms.create({ name, config }, origin, own).done;
      this.#createFailure = null;
    } catch (error) {
      if (this.#givenUp.has(index)) return;
      const nowMs = this.#parts.clock.monotonicMs();
      if (error instanceof VolantError && error.code === 'VM_NAME_TAKEN') {
        // Another VM is taking the name; once its record exists, this index is skipped.
        this.#nameBackoff.failed(index, nowMs);
        return;
      }
      // The next round finds this as well, and waits for capacity.
      if (error instanceof VolantError && NO_CAPACITY.includes(error.code)) return;
      this.#backoff.failed(ANY_INDEX, nowMs);
      this.#createFailure = toVolantError(error).message;
      const facts = { vm: name, ...requestIn(cause), err: error };
      this.#parts.log.warn(facts, 'a replica could not be created');
    }
  }

  /** Gives up creates of an old revision, and surplus ones. A create may wait hours for an image. */
  #giveUpUnwanted(record: DeploymentRecord, replicas: readonly VmRecord[]): void {
    const indexOf = ({ replica }: VmRecord) => replica?.index ?? 0;
    const staying = replicas.filter((one) => this.#busy.get(indexOf(one)) !== 'delete');
    const desired = record.status === 'deleting' ? 0 : record.desiredReplicas;
    const creating = staying
      .filter((one) => one.neverRan && one.status === 'starting')
      .sort((one, other) => indexOf(other) - indexOf(one));
    const surplus = creating.slice(0, Math.max(0, staying.length - desired));
    for (const one of creating) {
      const isOld = one.replica !== undefined && one.replica.revision < record.revision;
      if (!isOld && !surplus.includes(one)) continue;
      if (this.#busy.has(indexOf(one))) this.#givenUp.add(indexOf(one));
      this.#parts.vms.giveUp(one);
    }
  }

  #memberOf(record: VmRecord): Member {
    const index = record.replica?.index ?? 0;
    return {
      vmId: record.id,
      name: record.name,
      index,
      revision: record.replica?.revision ?? 0,
      phase: this.#phaseOf(record, index),
      ready: this.#isReady(record),
    };
  }

  #phaseOf(record: VmRecord, index: number): Member['phase'] {
    if (this.#busy.has(index)) return 'busy';
    if (this.#deleteFailures.has(record.name)) return 'stuck';
    return ['crashed', 'stopped'].includes(record.status) || this.#isLost(record)
      ? 'ended'
      : 'alive';
  }

  #isReady(record: VmRecord): boolean {
    return record.status === 'running' && this.#parts.readiness.isReady(record.id);
  }

  #isLost(record: VmRecord): boolean {
    return record.status === 'running' && this.#parts.readiness.isLost(record.id);
  }

  /** Watches the readiness of exactly these replicas, and forgets what was counted of others. */
  #watchMembers(replicas: readonly VmRecord[]): void {
    const ids = new Set(replicas.map(({ id }) => id));
    for (const [id, release] of this.#watches) {
      if (ids.has(id)) continue;
      release();
      this.#watches.delete(id);
    }
    this.#crashes.keep(ids);
    for (const id of ids) {
      if (!this.#watches.has(id)) this.#watches.set(id, this.#parts.readiness.watch(id));
    }
  }

  #wakeAt(atMs: number | null, nowMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (atMs === null) return;
    this.#timer = setTimeout(() => this.trigger(), Math.max(1, atMs - nowMs)).unref();
  }

  #describe(record: DeploymentRecord, members: readonly Member[], nowMs: number): void {
    const ready = members.filter((member) => member.ready).length;
    const updated = members.filter(({ revision }) => revision === record.revision).length;
    const rolling = updated < members.length || ready < record.desiredReplicas;
    if (ready !== this.#lastReady || !rolling) this.#lastProgressMs = nowMs;
    this.#lastReady = ready;
    const situation = {
      deleting: record.status === 'deleting',
      rebuilt: isRebuilt(record),
      desired: record.desiredReplicas,
      maxUnavailable: record.maxUnavailable,
      existing: members.length,
      ready,
      updated,
      crashes: this.#backoff.total(nowMs, (index) => index !== ANY_INDEX),
      createFailure: this.#createFailure,
      noCapacity: this.#noCapacity,
      stalled: rolling && nowMs - this.#lastProgressMs >= LIMITS.rolloutStallMs,
      ...problemOf(this.#parts.state, members),
    };
    this.#conditions = conditionsOf(situation, this.#conditions, this.#parts.clock.nowMs());
  }
}

/** The replacement of an ended replica has the deployment as its cause, not the last request. */
function causeOf(action: Action, cause: Cause): Cause {
  const hasEnded = action.kind === 'replace' && action.member.phase === 'ended';
  return hasEnded ? { by: 'deployment' } : cause;
}

function isRebuilt({ status, isRebuilt: was }: DeploymentRecord): boolean {
  return was === true && status === 'active';
}
