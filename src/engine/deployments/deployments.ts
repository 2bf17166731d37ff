// engine, deployments: the operations on deployments that the API offers. A request is stored, a reconciler works
// towards it, and the response waits for that within a deadline.

import { LIMITS, type Limits } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type {
  CreateDeploymentRequest,
  Deployment,
  DeploymentRevision,
  PatchDeploymentRequest,
  RollbackRequest,
} from '../../schema/deployment.ts';
import type { ConfigApi, DeploymentApi, DryRun, WaitOptions } from '../engine-api.ts';
import { BY_DAEMON, requestIn } from '../events/cause.ts';
import { type OtherEventType, otherEvent } from '../events/events.ts';
import type { Readiness } from '../guests/readiness.ts';
import { withWarnings } from '../media/missing-files.ts';
import type { Plugins } from '../plugins/plugins.ts';
import type { Write } from '../ports/store-ports.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import { replicaPortsOf } from '../published-ports/published-ports.ts';
import type { Cause, DeploymentRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import type { Admission } from '../vms/admission.ts';
import type { Vms } from '../vms/vms.ts';
import { changeEvent, emitDueEvents } from './deployment-events.ts';
import { type Asked, changedRecord, checkCreate, newRecord, wantsTheSame } from './drafts.ts';
import { type Entry, inTurn, untilFulfilled } from './entry.ts';
import { isReached } from './goal.ts';
import { Reconciler } from './reconciler.ts';
import { requireFreePorts, requireLaunchable } from './replica-config.ts';
import { applyEgressRules } from './replica-egress.ts';
import {
  changeBackTo,
  historyOf,
  shownRevision,
  targetOf,
  writesOfRemoval,
  writesOfRevision,
} from './revisions.ts';
import { changesTo, notFound, planOf, planOfNew, viewOf, whyLeft } from './view.ts';

export interface DeploymentsParts {
  readonly state: State;
  readonly vms: Vms;
  readonly admission: Admission;
  readonly publisher: PortPublisher;
  readonly plugins: Plugins;
  readonly readiness: Readiness;
  readonly configs: Pick<ConfigApi, 'get' | 'patch'>;
  readonly limits: Pick<Limits, 'reconcileTickMs'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Deployments implements DeploymentApi {
  readonly #parts: DeploymentsParts;
  readonly #entries = new Map<string, Entry>();
  #ticker: NodeJS.Timeout | undefined;

  constructor(parts: DeploymentsParts, records: readonly DeploymentRecord[]) {
    this.#parts = parts;
    for (const record of records) this.#add(record, true);
    const { state, readiness } = parts;
    state.events.subscribe((events) => {
      for (const name of new Set(events.map(({ body }) => body.deployment))) {
        if (name !== undefined) this.#entries.get(name)?.reconciler.trigger();
      }
    });
    readiness.subscribe((vmId) => {
      const name = state.find(vmId)?.replica?.deployment;
      if (name !== undefined) this.#entries.get(name)?.reconciler.trigger();
    });
  }

  /** Begins to reconcile all deployments, now and periodically. Call it after recovery. */
  start(): void {
    const tick = () => {
      for (const { reconciler } of this.#entries.values()) reconciler.tick();
    };
    this.#ticker = setInterval(tick, this.#parts.limits.reconcileTickMs).unref();
    tick();
  }

  stop(): void {
    clearInterval(this.#ticker);
    for (const { reconciler } of this.#entries.values()) reconciler.close();
  }

  get size(): number {
    return this.#entries.size;
  }

  list(): readonly Deployment[] {
    return [...this.#entries.keys()].sort().map((name) => this.get(name));
  }

  get(name: string): Deployment {
    return viewOf(this.#require(name));
  }

  async create(
    request: CreateDeploymentRequest,
    options?: WaitOptions,
    cause: Cause = BY_DAEMON,
  ): Promise<Deployment> {
    const draft = this.#draft(request);
    const warnings = await requireLaunchable(this.#parts, draft);
    await requireFreePorts(this.#parts, draft);
    // Drafted again, because the name or the ports may have been taken in the meantime.
    const record = { ...this.#draft(request), cause };
    const entry = this.#add(record, false);
    await inTurn(entry, async () => {
      try {
        await this.#write(entry, record, 'DEPLOYMENT_CREATED');
      } catch (error) {
        this.#remove(record.name);
        throw error;
      }
    });
    entry.reconciler.trigger();
    return withWarnings(await this.#answer(entry, options), warnings);
  }

  async patch(
    name: string,
    request: PatchDeploymentRequest,
    options?: WaitOptions,
    cause: Cause = BY_DAEMON,
  ): Promise<Deployment> {
    return this.#change(name, () => ({ request }), options, cause);
  }

  rollback(
    name: string,
    request: RollbackRequest,
    options?: WaitOptions,
    cause: Cause = BY_DAEMON,
  ): Promise<Deployment> {
    const { store } = this.#parts.state;
    const back = (record: DeploymentRecord) => {
      const target = targetOf(store, record, request);
      return { request: changeBackTo(target), restoredFrom: target.revision };
    };
    return this.#change(name, back, options, cause);
  }

  planCreate(request: CreateDeploymentRequest): DryRun & Deployment {
    return planOfNew(this.#parts.state, this.#draft(request));
  }

  planPatch(name: string, request: PatchDeploymentRequest): DryRun & Deployment {
    const { record, reconciler } = this.#require(name);
    const changed = changedRecord(this.#parts, record, request);
    return planOf(
      changesTo(changed, reconciler.present()),
      viewOf({ record: changed, reconciler }),
    );
  }

  revisions(name: string): readonly DeploymentRevision[] {
    const { record } = this.#require(name);
    const history = historyOf(this.#parts.state.store, record);
    return history.map((one) => shownRevision(one, record.revision));
  }

  rollbackTarget(name: string, request: RollbackRequest): DeploymentRevision {
    const { record } = this.#require(name);
    return shownRevision(targetOf(this.#parts.state.store, record, request), record.revision);
  }

  planRollback(name: string, request: RollbackRequest): DryRun & Deployment {
    const { record } = this.#require(name);
    return this.planPatch(name, changeBackTo(targetOf(this.#parts.state.store, record, request)));
  }

  async remove(name: string, cause: Cause = BY_DAEMON): Promise<void> {
    const entry = this.#require(name);
    await inTurn(entry, async () => {
      this.#requireStill(name, entry);
      const record: DeploymentRecord = {
        ...entry.record,
        status: 'deleting',
        cause,
        updatedAtMs: this.#parts.clock.nowMs(),
      };
      await this.#write(entry, record, 'DEPLOYMENT_DELETING', { before: entry.record });
    });
    entry.forgetFailure = null;
    entry.reconciler.retry();
    await this.#untilRemoved(entry);
  }

  /** Waits as long as replicas go. Throws DELETE_INCOMPLETE, WAIT_TIMEOUT, STORE_UNAVAILABLE or SHUTTING_DOWN. */
  async #untilRemoved(entry: Entry): Promise<void> {
    const { record, reconciler } = entry;
    const { name } = record;
    const isGone = () => this.#entries.get(name) !== entry;
    const hasFailed = () =>
      entry.forgetFailure !== null || (reconciler.deleteFailures.size > 0 && reconciler.idle);
    let left = Number.POSITIVE_INFINITY;
    while (!isGone() && !hasFailed() && reconciler.members().length < left) {
      left = reconciler.members().length;
      const hasChanged = () => isGone() || hasFailed() || reconciler.members().length < left;
      await this.#until(entry, hasChanged, LIMITS.deploymentAnswerMs);
    }
    if (!isGone()) throw entry.forgetFailure ?? whyLeft(name, reconciler);
  }

  /** Removes the records of all deployments, so that none of them creates its VMs again. */
  async forgetAll(): Promise<void> {
    this.stop();
    const { state } = this.#parts;
    const writes = [...this.#entries.keys()].flatMap((name) => writesOfRemoval(state.store, name));
    this.#entries.clear();
    await state.commit(writes, []);
  }

  /** Stores the change that `asked` returns, in this change's turn. Resolves as `#answer` does. */
  async #change(
    name: string,
    asked: (record: DeploymentRecord) => Asked,
    options: WaitOptions | undefined,
    cause: Cause,
  ): Promise<Deployment> {
    const entry = this.#require(name);
    let warnings: readonly string[] = [];
    const changed = await inTurn(entry, async () => {
      this.#requireStill(name, entry);
      const { request, restoredFrom } = asked(entry.record);
      const draft = changedRecord(this.#parts, entry.record, request);
      if (request.config) {
        warnings = await requireLaunchable(this.#parts, draft, entry.record.config);
      }
      await requireFreePorts(this.#parts, draft, entry.record);
      const record = { ...changedRecord(this.#parts, entry.record, request), cause };
      if (wantsTheSame(record, entry.record)) return record;
      const rolls = record.revision !== entry.record.revision;
      this.#reservePorts(record);
      try {
        const type = rolls ? 'DEPLOYMENT_UPDATED' : 'DEPLOYMENT_SCALED';
        const before = entry.record;
        await this.#write(entry, record, type, { before, restoredFrom });
        await applyEgressRules(this.#parts, entry.reconciler.members(), before, record);
      } catch (error) {
        this.#reservePorts(entry.record);
        throw error;
      }
      return record;
    });
    entry.reconciler.retry();
    return withWarnings(await this.#answer(entry, options, changed.desiredReplicas), warnings);
  }

  #draft(request: CreateDeploymentRequest): DeploymentRecord {
    checkCreate(request);
    if (this.#entries.has(request.name)) {
      throw new VolantError('DEPLOYMENT_NAME_TAKEN', `A deployment named ${request.name} exists`);
    }
    if (this.#entries.size >= LIMITS.deploymentsMax) {
      const why = `This daemon keeps at most ${LIMITS.deploymentsMax} deployments`;
      throw new VolantError('CAPACITY_EXHAUSTED', why);
    }
    return newRecord(this.#parts, request);
  }

  #add(record: DeploymentRecord, isStored: boolean): Entry {
    const { state, vms, readiness, clock, log } = this.#parts;
    const entry: Entry = {
      record,
      waiters: new Set(),
      writing: Promise.resolve(),
      emitted: { available: false, degraded: false },
      forgetFailure: null,
      isForgetting: false,
      isStored,
      reconciler: new Reconciler({
        state,
        vms,
        readiness,
        clock,
        log: log.child({ deployment: record.name }),
        record: () =>
          entry.isStored && this.#entries.get(record.name) === entry ? entry.record : undefined,
        onChange: () => this.#onChange(entry),
      }),
    };
    this.#entries.set(record.name, entry);
    this.#reservePorts(record);
    return entry;
  }

  /** The ports belong to the deployment as long as it exists, whether its replicas run or not. */
  #reservePorts({ name, config, desiredReplicas }: DeploymentRecord): void {
    this.#parts.publisher.reserve(name, replicaPortsOf(config, desiredReplicas));
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.reconciler.close();
    this.#entries.delete(name);
    this.#parts.publisher.reserve(name, []);
    for (const waiter of entry.waiters) waiter();
  }

  async #write(
    entry: Entry,
    record: DeploymentRecord,
    type: OtherEventType,
    { before, restoredFrom }: { before?: DeploymentRecord; restoredFrom?: number | undefined } = {},
  ): Promise<void> {
    const { state } = this.#parts;
    const revisions = writesOfRevision(state.store, before, record, restoredFrom);
    const write: Write = { table: 'deployments', key: record.name, value: record };
    await state.commit([write, ...revisions], [changeEvent(type, record, restoredFrom)]);
    entry.record = record;
    entry.isStored = true;
  }

  #onChange(entry: Entry): void {
    emitDueEvents(this.#parts, entry);
    const { record, reconciler } = entry;
    const gone = record.status === 'deleting' && reconciler.members().length === 0;
    if (gone && reconciler.idle) void this.#forget(entry);
    for (const waiter of entry.waiters) waiter();
  }

  async #forget(entry: Entry): Promise<void> {
    if (entry.isForgetting) return;
    entry.isForgetting = true;
    const { name } = entry.record;
    const subject = { name, status: 'deleted', deployment: name };
    const nowMs = this.#parts.clock.nowMs();
    const { cause } = entry.record;
    const event = otherEvent('DEPLOYMENT_DELETED', subject, nowMs, undefined, cause);
    try {
      const { state } = this.#parts;
      await inTurn(entry, async () => {
        if (this.#entries.get(name) !== entry) return;
        await state.commit(writesOfRemoval(state.store, name), [event]);
        this.#remove(name);
      });
    } catch (error) {
      entry.forgetFailure = error;
      for (const waiter of entry.waiters) waiter();
      const facts = { deployment: name, ...requestIn(cause), err: error };
      this.#parts.log.warn(facts, 'the record of a deployment could not be removed');
    } finally {
      entry.isForgetting = false;
    }
  }

  /**
   * The deployment when the goal is reached, or without options when nothing more is expected soon. Throws
   * DEPLOYMENT_DELETING if it is deleted in the meantime, or WAIT_TIMEOUT.
   */
  async #answer(entry: Entry, options?: WaitOptions, asked?: number): Promise<Deployment> {
    if (options?.wait === 'accepted') return viewOf(entry);
    const goal = options?.wait ?? 'ready';
    // If another request has changed the number of replicas, this one's will not be reached any more.
    const isSettled = ({ record, reconciler }: Entry) =>
      (asked !== undefined && record.desiredReplicas !== asked) ||
      isReached(record, reconciler, goal);
    const isDeleted = () => entry.record.status === 'deleting';
    const isOver = () =>
      isDeleted() || isSettled(entry) || (options === undefined && entry.reconciler.isStuck);
    const timeoutMs = options?.timeoutMs ?? LIMITS.deploymentAnswerMs;
    const reached = await this.#until(entry, isOver, timeoutMs);
    if (isDeleted()) {
      const why = `Deployment ${entry.record.name} was deleted meanwhile`;
      throw new VolantError('DEPLOYMENT_DELETING', why);
    }
    if (!reached && options !== undefined) {
      const { name } = entry.record;
      const why = `Deployment ${name} is not ${goal} after ${timeoutMs} ms; the operation continues`;
      throw new VolantError('WAIT_TIMEOUT', why);
    }
    return viewOf(entry);
  }

  /** Resolves to false if the time is over first. */
  #until(entry: Entry, isOver: () => boolean, timeoutMs: number): Promise<boolean> {
    const isGone = () => !this.#entries.has(entry.record.name);
    return untilFulfilled(entry, () => isOver() || isGone(), timeoutMs);
  }

  /** While a change waited for its turn, the create may have failed, or the deployment may have gone. */
  #requireStill(name: string, entry: Entry): void {
    if (this.#entries.get(name) !== entry) throw notFound(name);
  }

  #require(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    throw notFound(name);
  }
}
