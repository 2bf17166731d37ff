// engine, deployments: deployments as the API offers them: what a client asks for is written down, a
// reconciler makes it true, and the answer waits for that with a bound.

import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type {
  CreateDeploymentRequest,
  Deployment,
  PatchDeploymentRequest,
} from '../../schema/deployment.ts';
import { BY_DAEMON, requestIn } from '../cause.ts';
import type { DeploymentApi, DryRun, WaitOptions } from '../engine-api.ts';
import { type OtherEventType, otherEvent } from '../events.ts';
import { replicaPortsOf } from '../exposures/exposed-ports.ts';
import type { Exposures } from '../exposures/exposures.ts';
import type { Plugins } from '../plugins.ts';
import type { Readiness } from '../readiness.ts';
import type { Cause, DeploymentRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { Admission } from '../vms/admission.ts';
import { isSameConfig } from '../vms/config-merge.ts';
import type { Vms } from '../vms/vms.ts';
import { newsOf, type Told } from './news.ts';
import { Reconciler } from './reconciler.ts';
import { replicaConfig, requireMemory, requirePorts } from './replica-config.ts';
import { boundsOf, changesTo, planOf, planOfNew, viewOf, wantsTheSame, whyLeft } from './view.ts';

export interface DeploymentsParts {
  readonly state: State;
  readonly vms: Vms;
  readonly admission: Admission;
  readonly exposures: Exposures;
  readonly plugins: Plugins;
  readonly readiness: Readiness;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Entry {
  record: DeploymentRecord;
  readonly reconciler: Reconciler;
  /** Called after each look of the reconciler. */
  readonly waiters: Set<() => void>;
  /** Changes of one deployment are written one after the other. */
  writing: Promise<unknown>;
  readonly told: Told;
  /** Why the record of a deployment without replicas is still there. */
  forgetFailure: unknown;
}

export class Deployments implements DeploymentApi {
  readonly #parts: DeploymentsParts;
  readonly #entries = new Map<string, Entry>();
  #ticker: NodeJS.Timeout | undefined;

  constructor(parts: DeploymentsParts, records: readonly DeploymentRecord[]) {
    this.#parts = parts;
    for (const record of records) this.#add(record);
    const { state, readiness } = parts;
    state.events.subscribe((events) => {
      for (const name of new Set(events.map(({ body }) => body.deployment))) {
        if (name !== undefined) this.#entries.get(name)?.reconciler.poke();
      }
    });
    readiness.subscribe((vmId) => {
      const name = state.find(vmId)?.replica?.deployment;
      if (name !== undefined) this.#entries.get(name)?.reconciler.poke();
    });
  }

  /** Looks at all deployments, now and again and again: when the VMs are known to be what they are. */
  start(): void {
    const tick = () => {
      for (const { reconciler } of this.#entries.values()) reconciler.tick();
    };
    this.#ticker = setInterval(tick, LIMITS.reconcileTickMs).unref();
    tick();
  }

  stop(): void {
    clearInterval(this.#ticker);
    for (const { reconciler } of this.#entries.values()) reconciler.close();
  }

  list(): readonly Deployment[] {
    const names = [...this.#entries.keys()].sort();
    return names.map((name) => this.get(name));
  }

  get(name: string): Deployment {
    return viewOf(this.#require(name));
  }

  async create(
    request: CreateDeploymentRequest,
    options?: WaitOptions,
    cause: Cause = BY_DAEMON,
  ): Promise<Deployment> {
    await requireMemory(this.#parts, this.#draft(request));
    // Once more: somebody may have taken the name or the ports meanwhile.
    const record = { ...this.#draft(request), cause };
    const entry = this.#add(record);
    try {
      await this.#write(entry, record, 'DEPLOYMENT_CREATED');
    } catch (error) {
      this.#remove(record.name);
      throw error;
    }
    entry.reconciler.poke();
    return this.#answer(entry, options);
  }

  async patch(
    name: string,
    request: PatchDeploymentRequest,
    options?: WaitOptions,
    cause: Cause = BY_DAEMON,
  ): Promise<Deployment> {
    const entry = this.#require(name);
    const changed = await inTurn(entry, async () => {
      if (request.config) await requireMemory(this.#parts, this.#patched(entry.record, request));
      const record = { ...this.#patched(entry.record, request), cause };
      if (wantsTheSame(record, entry.record)) return record;
      const rolls = record.revision !== entry.record.revision;
      this.#reservePorts(record);
      try {
        await this.#write(entry, record, rolls ? 'DEPLOYMENT_UPDATED' : 'DEPLOYMENT_SCALED');
      } catch (error) {
        this.#reservePorts(entry.record);
        throw error;
      }
      return record;
    });
    entry.reconciler.retry();
    return this.#answer(entry, options, changed.desiredReplicas);
  }

  planCreate(request: CreateDeploymentRequest): DryRun & Deployment {
    const record = this.#draft(request);
    return planOfNew(this.#parts.state, record);
  }

  planPatch(name: string, request: PatchDeploymentRequest): DryRun & Deployment {
    const { record, reconciler } = this.#require(name);
    const changed = this.#patched(record, request);
    return planOf(
      changesTo(changed, reconciler.present()),
      viewOf({ record: changed, reconciler }),
    );
  }

  async remove(name: string, cause: Cause = BY_DAEMON): Promise<void> {
    const entry = this.#require(name);
    await inTurn(entry, async () => {
      const record: DeploymentRecord = {
        ...entry.record,
        status: 'deleting',
        cause,
        updatedAtMs: this.#parts.clock.nowMs(),
      };
      await this.#write(entry, record, 'DEPLOYMENT_DELETING');
    });
    entry.forgetFailure = null;
    entry.reconciler.retry();
    await this.#untilRemoved(entry);
  }

  /** As long as one replica after the other goes. DELETE_INCOMPLETE, WAIT_TIMEOUT, STORE_UNAVAILABLE, SHUTTING_DOWN. */
  async #untilRemoved(entry: Entry): Promise<void> {
    const { record, reconciler } = entry;
    const { name } = record;
    const isGone = () => this.#entries.get(name) !== entry;
    const hasFailed = () =>
      entry.forgetFailure !== null || (reconciler.deleteFailures.size > 0 && reconciler.idle);
    let left = Number.POSITIVE_INFINITY;
    while (!isGone() && !hasFailed() && reconciler.members().length < left) {
      left = reconciler.members().length;
      const isNews = () => isGone() || hasFailed() || reconciler.members().length < left;
      await this.#until(entry, isNews, LIMITS.deploymentAnswerMs);
    }
    if (!isGone()) throw entry.forgetFailure ?? whyLeft(name, reconciler);
  }

  /** Forgets every deployment, so that nobody brings its VMs back. */
  async forgetAll(): Promise<void> {
    this.stop();
    const writes = [...this.#entries.keys()].map(
      (key) => ({ table: 'deployments', key, value: null }) as const,
    );
    this.#entries.clear();
    await this.#parts.state.commit(writes, []);
  }

  #draft(request: CreateDeploymentRequest): DeploymentRecord {
    const { name, replicas = 0 } = request;
    const details: Record<string, string> = { ...boundsOf(request) };
    if (name.length > LIMITS.deploymentNameCharactersMax) {
      details['name'] = `must have at most ${LIMITS.deploymentNameCharactersMax} characters`;
    }
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    if (this.#entries.has(name)) {
      throw new VolantError('DEPLOYMENT_NAME_TAKEN', `A deployment named ${name} exists`);
    }
    if (this.#entries.size >= LIMITS.deploymentsMax) {
      const why = `This daemon keeps at most ${LIMITS.deploymentsMax} deployments`;
      throw new VolantError('CAPACITY_EXHAUSTED', why);
    }
    const nowMs = this.#parts.clock.nowMs();
    return {
      name,
      status: 'active',
      desiredReplicas: replicas,
      maxUnavailable: request.max_unavailable ?? 1,
      config: replicaConfig(this.#parts, request.config, name, replicas),
      revision: 1,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    };
  }

  #patched(record: DeploymentRecord, request: PatchDeploymentRequest): DeploymentRecord {
    if (record.status === 'deleting') {
      throw new VolantError('DEPLOYMENT_DELETING', `Deployment ${record.name} is being deleted`);
    }
    const { replicas, config, max_unavailable } = request;
    const details = { ...boundsOf(request) };
    if (replicas === undefined && !config && max_unavailable === undefined) {
      details['replicas'] = 'is required, or config, or max_unavailable';
    }
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    const { isRebuilt: _, ...known } = record;
    const desiredReplicas = replicas ?? record.desiredReplicas;
    if (!config && replicas !== undefined) requirePorts(this.#parts, record, replicas);
    const wanted = config
      ? replicaConfig(this.#parts, config, record.name, desiredReplicas)
      : record.config;
    return {
      ...known,
      desiredReplicas,
      maxUnavailable: max_unavailable ?? record.maxUnavailable,
      config: wanted,
      revision: record.revision + (isSameConfig(wanted, record.config) ? 0 : 1),
      updatedAtMs: this.#parts.clock.nowMs(),
    };
  }

  #add(record: DeploymentRecord): Entry {
    const { state, vms, readiness, clock, log } = this.#parts;
    const entry: Entry = {
      record,
      waiters: new Set(),
      writing: Promise.resolve(),
      told: { available: false, degraded: false },
      forgetFailure: null,
      reconciler: new Reconciler({
        state,
        vms,
        readiness,
        clock,
        log: log.child({ deployment: record.name }),
        record: () => (this.#entries.has(record.name) ? entry.record : undefined),
        onChange: () => this.#onChange(entry),
      }),
    };
    this.#entries.set(record.name, entry);
    this.#reservePorts(record);
    return entry;
  }

  /** They are the deployment's as long as it exists, whether its replicas run or not. */
  #reservePorts({ name, config, desiredReplicas }: DeploymentRecord): void {
    this.#parts.exposures.reserve(name, replicaPortsOf(config, desiredReplicas));
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.reconciler.close();
    this.#entries.delete(name);
    this.#parts.exposures.reserve(name, []);
    for (const waiter of entry.waiters) waiter();
  }

  async #write(entry: Entry, record: DeploymentRecord, type: OtherEventType): Promise<void> {
    const { name, status, desiredReplicas, revision, updatedAtMs, cause } = record;
    const message = `${desiredReplicas} replicas, revision ${revision}`;
    const subject = { name, status, deployment: name };
    const event = otherEvent(type, subject, updatedAtMs, message, cause);
    await this.#parts.state.commit([{ table: 'deployments', key: name, value: record }], [event]);
    entry.record = record;
  }

  #onChange(entry: Entry): void {
    this.#tell(entry);
    const { record, reconciler } = entry;
    const gone = record.status === 'deleting' && reconciler.members().length === 0;
    if (gone && reconciler.idle) void this.#forget(entry);
    for (const waiter of entry.waiters) waiter();
  }

  /** Commits that fail are told by the next look. */
  #tell(entry: Entry): void {
    const { name } = entry.record;
    const events = newsOf(entry, this.#parts.clock.nowMs());
    if (events.length === 0) return;
    this.#parts.state.commit([], events).catch((error: unknown) => {
      this.#parts.log.warn({ deployment: name, err: error }, 'an event could not be written');
    });
  }

  async #forget(entry: Entry): Promise<void> {
    const { name } = entry.record;
    const subject = { name, status: 'deleted', deployment: name };
    const nowMs = this.#parts.clock.nowMs();
    const { cause } = entry.record;
    const event = otherEvent('DEPLOYMENT_DELETED', subject, nowMs, undefined, cause);
    try {
      await this.#parts.state.commit([{ table: 'deployments', key: name, value: null }], [event]);
      if (this.#entries.get(name) === entry) this.#remove(name);
    } catch (error) {
      entry.forgetFailure = error;
      for (const waiter of entry.waiters) waiter();
      const facts = { deployment: name, ...requestIn(cause), err: error };
      this.#parts.log.warn(facts, 'a deployment could not be forgotten');
    }
  }

  /**
   * The true counts, when everything is as asked for or nothing more happens soon, or the time is over.
   * DEPLOYMENT_DELETING where somebody deletes it meanwhile, WAIT_TIMEOUT.
   */
  async #answer(entry: Entry, options?: WaitOptions, asked?: number): Promise<Deployment> {
    if (options?.wait === 'accepted') return viewOf(entry);
    const goal = options?.wait ?? 'ready';
    const isReached = () => {
      const { record, reconciler } = entry;
      // Somebody else has asked for another number meanwhile: this one will not come any more.
      if (asked !== undefined && record.desiredReplicas !== asked) return true;
      const members = reconciler.members();
      const there = members.filter(({ status }) => status === 'running').length;
      const updated = members.every(({ replica }) => replica?.revision === record.revision);
      const count = goal === 'ready' ? reconciler.ready() : there;
      return (
        members.length === record.desiredReplicas && count === record.desiredReplicas && updated
      );
    };
    const isDeleted = () => entry.record.status === 'deleting';
    const isOver = () =>
      isDeleted() || isReached() || (options === undefined && entry.reconciler.isStuck);
    const timeoutMs = options?.timeoutMs ?? LIMITS.deploymentAnswerMs;
    const reached = await this.#until(entry, isOver, timeoutMs);
    if (isDeleted()) {
      const why = `Deployment ${entry.record.name} was deleted meanwhile`;
      throw new VolantError('DEPLOYMENT_DELETING', why);
    }
    if (!reached && options !== undefined) {
      const { name } = entry.record;
      const why = `Deployment ${name} is not ${goal} after ${timeoutMs} ms; it goes on`;
      throw new VolantError('WAIT_TIMEOUT', why);
    }
    return viewOf(entry);
  }

  /** false when the time was over before. */
  #until(entry: Entry, isOver: () => boolean, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (reached: boolean) => {
        clearTimeout(timer);
        entry.waiters.delete(look);
        resolve(reached);
      };
      const look = () => {
        if (isOver() || !this.#entries.has(entry.record.name)) end(true);
      };
      const timer = setTimeout(end, timeoutMs, false);
      entry.waiters.add(look);
      look();
    });
  }

  #require(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw new VolantError('DEPLOYMENT_NOT_FOUND', `There is no deployment named ${name}`);
  }
}

async function inTurn<T>(entry: Entry, write: () => Promise<T>): Promise<T> {
  const turn = entry.writing.then(write);
  entry.writing = turn.catch(() => undefined);
  return turn;
}
