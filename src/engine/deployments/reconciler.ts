// engine, deployments: makes what there is what there shall be. One reconciler for each deployment: it
// looks, begins what the plan says, and looks again when something has changed. What to do is plan.ts's
// business, how a VM is made and deleted that of vms/.

import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolantError, VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { Condition } from '../../schema/condition.ts';
import { requestIn } from '../cause.ts';
import type { Readiness } from '../readiness.ts';
import type { Cause, DeploymentRecord, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { ReplicaOrigin } from '../vms/admission.ts';
import { configuredGraceMs } from '../vms/grace.ts';
import type { Vms } from '../vms/vms.ts';
import { unreadyReason } from '../workload-view.ts';
import { Backoff } from './backoff.ts';
import { conditionsOf } from './conditions.ts';
import { type Action, type Member, type Present, planDeployment } from './plan.ts';

export interface ReconcilerParts {
  readonly state: State;
  readonly vms: Vms;
  readonly readiness: Readiness;
  readonly clock: Clock;
  readonly log: Logger;
  /** The record as it is now; undefined when the deployment is gone. */
  readonly record: () => DeploymentRecord | undefined;
  /** Called after each look. */
  readonly onChange: () => void;
}

/** A create failure concerns the deployment, not one index: the next index would fail the same way. */
const ANY_INDEX = 0;

const NO_ROOM: readonly string[] = ['MEMORY_EXHAUSTED', 'CPU_EXHAUSTED'];

export class Reconciler {
  readonly #parts: ReconcilerParts;
  readonly #backoff = new Backoff<number>({
    minMs: LIMITS.replicaBackoffMinMs,
    maxMs: LIMITS.replicaBackoffMaxMs,
    windowMs: LIMITS.crashWindowMs,
  });
  /** Indices with a create, a replacement or a delete under way, and which. */
  readonly #busy = new Map<number, Action['kind']>();
  readonly #watches = new Map<number, () => void>();
  /** Crashes that were counted already: VM id -> of which launch. */
  readonly #counted = new Map<number, string>();
  /** Indices whose create was given up: that it fails is as it should be. */
  readonly #givenUp = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #scheduled = false;
  #closed = false;
  #createFailure: string | null = null;
  /** Why the host has no room for what should be made; what is given back ends it. */
  #noRoom: string | null = null;
  readonly #endRoomWatch: () => void;
  readonly #deleteFailures = new Map<string, VolantError>();
  #lastProgressMs: number;
  #lastReady = -1;
  #conditions: readonly Condition[] = [];
  /** What was asked for last has come true: what is done from then on has other causes. */
  #isDone = false;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#lastProgressMs = parts.clock.monotonicMs();
    this.#endRoomWatch = parts.vms.onRoom(() => {
      if (this.#noRoom !== null) this.poke();
    });
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** Names of replicas that are there because their delete failed, with the reason. */
  get deleteFailures(): ReadonlyMap<string, VolantError> {
    const names = new Set(this.members().map(({ name }) => name));
    return new Map([...this.#deleteFailures].filter(([name]) => names.has(name)));
  }

  /** Of what is done now: of a request until everything is as it asked for. */
  get cause(): Cause {
    const asked = this.#isDone ? undefined : this.#parts.record()?.cause;
    return { ...asked, by: 'deployment' };
  }

  /** true when nothing is under way, though something may wait for its time. */
  get idle(): boolean {
    return this.#busy.size === 0 && !this.#scheduled;
  }

  /** Nothing is under way, and what failed waits for its time. */
  get isStuck(): boolean {
    if (!this.idle) return false;
    if (this.#createFailure !== null) return true;
    // Those for which there is room are waited for.
    return this.#noRoom !== null && this.members().every((record) => this.#isReady(record));
  }

  /** Looks soon. Many calls in one turn are one look. */
  poke(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#look();
    });
  }

  /** Another try of what failed, without its pause: a client asks for it. */
  retry(): void {
    this.#backoff.forget(ANY_INDEX);
    this.#createFailure = null;
    this.#noRoom = null;
    this.#deleteFailures.clear();
    this.#isDone = false;
    this.#lastProgressMs = this.#parts.clock.monotonicMs();
    this.poke();
  }

  /** The slow look: what could not be deleted is tried again. */
  tick(): void {
    this.#deleteFailures.clear();
    this.poke();
  }

  close(): void {
    this.#closed = true;
    this.#endRoomWatch();
    clearTimeout(this.#timer);
    for (const release of this.#watches.values()) release();
    this.#watches.clear();
  }

  members(): readonly VmRecord[] {
    const name = this.#parts.record()?.name;
    return name === undefined ? [] : this.#parts.state.vms.replicasOf(name);
  }

  /** What there is of the deployment, as a plan sees it. */
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

  #look(): void {
    const record = this.#parts.record();
    if (record === undefined) return;
    const nowMs = this.#parts.clock.monotonicMs();
    const replicas = this.members();
    this.#watchMembers(replicas);
    this.#giveUpUnwanted(record, replicas);
    for (const replica of replicas) this.#countCrash(replica, nowMs);
    const present = this.present();
    const { members } = present;
    const room = LIMITS.replicaOperationsMax - this.#busy.size;
    const plan = planDeployment({
      desired: record.status === 'deleting' ? 0 : record.desiredReplicas,
      revision: record.revision,
      maxUnavailable: record.maxUnavailable,
      ...present,
      dueAtMs: (index) =>
        Math.max(this.#backoff.dueAtMs(index, nowMs), this.#backoff.dueAtMs(ANY_INDEX, nowMs)),
      nowMs,
      // What it shall be is not known.
      room: isRebuilt(record) ? 0 : room,
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

  /** Nothing is taken away for what would then not fit; what does not fit now waits for room, and is not tried. */
  #fitting(actions: readonly Action[], { config }: DeploymentRecord): readonly Action[] {
    const refusals = actions.map((action) => {
      if (action.kind === 'delete') return null;
      const inPlaceOf = action.kind === 'replace' ? action.member.vmId : null;
      return this.#parts.vms.refusalOf(config, inPlaceOf);
    });
    this.#noRoom = refusals.find((refusal) => refusal !== null)?.message ?? null;
    return actions.filter((_, index) => refusals[index] === null);
  }

  async #carryOut(action: Action, cause: Cause): Promise<void> {
    const index = action.kind === 'create' ? action.index : action.member.index;
    this.#busy.set(index, action.kind);
    try {
      if (action.kind !== 'create') await this.#delete(action.member, cause);
      if (action.kind !== 'delete') await this.#create(index, cause);
    } finally {
      this.#busy.delete(index);
      this.#givenUp.delete(index);
      this.poke();
    }
  }

  async #delete({ name, vmId }: Member, cause: Cause): Promise<void> {
    try {
      // Whoever says how long a stop may take means these ends, too.
      const { config } = this.#parts.record() ?? {};
      const graceMs = config === undefined ? null : configuredGraceMs(config);
      await this.#parts.vms.destroy(name, graceMs, cause);
      this.#counted.delete(vmId);
    } catch (error) {
      // Somebody else was quicker: then it is gone as it should be.
      if (error instanceof VolantError && error.code === 'VM_NOT_FOUND') return;
      const failure = toVolantError(error);
      if (failure.retryAfterSeconds !== undefined) {
        // It is only in line: it is asked for again, when it has its turn.
        await pause(LIMITS.replicaBackoffMinMs, undefined, { ref: false });
        return;
      }
      this.#deleteFailures.set(name, failure);
      const facts = { vm: name, ...requestIn(cause), err: error };
      this.#parts.log.error(facts, 'a replica could not be deleted');
    }
  }

  async #create(index: number, cause: Cause): Promise<void> {
    // A replacement may find, when the old one is gone, that it is not wanted any more.
    const record = this.#parts.record();
    if (record?.status !== 'active') return;
    if (this.members().length >= record.desiredReplicas) return;
    const { config, revision } = record;
    const name = replicaName(record.name, index);
    const origin: ReplicaOrigin = {
      replica: { deployment: record.name, index, revision },
      manifest: config.manifest,
    };
    // Its replicas have their turn as those of any client, whoever asked for them.
    const own = { ...cause, client: `deployment ${record.name}` };
    try {
      await this.#parts.vms.create({ name, config }, origin, own).done;
      this.#createFailure = null;
    } catch (error) {
      if (this.#givenUp.has(index)) return;
      const nowMs = this.#parts.clock.monotonicMs();
      if (error instanceof VolantError && error.code === 'VM_NAME_TAKEN') {
        // A stranger is taking the name; when its record is there this index is skipped.
        this.#backoff.failed(index, nowMs);
        return;
      }
      // The next look sees it, too, and waits.
      if (error instanceof VolantError && NO_ROOM.includes(error.code)) return;
      this.#backoff.failed(ANY_INDEX, nowMs);
      this.#createFailure = error instanceof Error ? error.message : String(error);
      const facts = { vm: name, ...requestIn(cause), err: error };
      this.#parts.log.warn(facts, 'a replica could not be created');
    }
  }

  /** A create may wait for an image for hours: not when it is of an old revision, or one too many. */
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
    const busy = this.#busy.has(index) || this.#deleteFailures.has(record.name);
    const ended =
      record.status === 'crashed' || record.status === 'stopped' || this.#isLost(record);
    return {
      vmId: record.id,
      name: record.name,
      index,
      revision: record.replica?.revision ?? 0,
      phase: busy ? 'busy' : ended ? 'ended' : 'alive',
      ready: this.#isReady(record),
    };
  }

  #isReady(record: VmRecord): boolean {
    return record.status === 'running' && this.#parts.readiness.isReady(record.id);
  }

  #isLost(record: VmRecord): boolean {
    return record.status === 'running' && this.#parts.readiness.isLost(record.id);
  }

  /** Only replicas that have run are looked after by their health. */
  #watchMembers(replicas: readonly VmRecord[]): void {
    const ids = new Set(replicas.map(({ id }) => id));
    for (const [id, release] of this.#watches) {
      if (ids.has(id)) continue;
      release();
      this.#watches.delete(id);
    }
    for (const id of ids) {
      if (!this.#watches.has(id)) this.#watches.set(id, this.#parts.readiness.watch(id));
    }
  }

  /** One that does not answer any more counts as one crash, however often it is written down. */
  #countCrash(record: VmRecord, nowMs: number): void {
    const isLost = this.#isLost(record);
    const launch = `${record.observed.launch} ${isLost ? 'lost' : record.status}`;
    if (record.status !== 'crashed' && !isLost) return;
    if (this.#counted.get(record.id) === launch) return;
    this.#counted.set(record.id, launch);
    this.#backoff.failed(record.replica?.index ?? 0, nowMs);
  }

  #wakeAt(atMs: number | null, nowMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (atMs === null) return;
    this.#timer = setTimeout(() => this.poke(), Math.max(1, atMs - nowMs)).unref();
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
      crashes: this.#backoff.total(nowMs),
      createFailure: this.#createFailure,
      noRoom: this.#noRoom,
      stalled: rolling && nowMs - this.#lastProgressMs >= LIMITS.rolloutStallMs,
      ...troubleOf(this.#parts.state, members),
    };
    this.#conditions = conditionsOf(situation, this.#conditions, this.#parts.clock.nowMs());
  }
}

/** A replica that has ended is replaced for that reason, whoever asked for something before. */
function causeOf(action: Action, cause: Cause): Cause {
  const hasEnded = action.kind === 'replace' && action.member.phase === 'ended';
  return hasEnded ? { by: 'deployment' } : cause;
}

/** true when a VM that is none of the deployment's has the name of this index. */
export function isTaken(state: State, deployment: string, index: number): boolean {
  const owner = state.vms.recordByName(replicaName(deployment, index));
  return owner !== undefined && owner.replica?.deployment !== deployment;
}

function isRebuilt({ status, isRebuilt: was }: DeploymentRecord): boolean {
  return was === true && status === 'active';
}

export function replicaName(deployment: string, index: number): string {
  return `${deployment}-${index}`;
}

/** What is known of the workloads of replicas that are not ready. */
function troubleOf(state: State, members: readonly Member[]) {
  const unready = members.filter(({ ready }) => !ready);
  const sentences = unready.flatMap(({ vmId, name }) => {
    const why = unreadyReason(state.vms.workloadOf(vmId));
    return why === null ? [] : [`${name}: ${why}`];
  });
  const failing = unready.filter(({ vmId }) => {
    const seen = state.vms.conditionsOf(vmId).find(({ type }) => type === 'WorkloadRunning');
    return seen?.status === false && seen.reason !== 'Ended';
  });
  return { trouble: sentences[0] ?? null, failing: failing.length };
}
