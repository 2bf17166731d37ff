// engine: VMs as the API offers them: what can be asked for, and how far a client waits for it.

import { toTimestamp } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { CreateVmRequest, Vm } from '../../schema/vm.ts';
import { BY_DAEMON, requestIn } from '../cause.ts';
import type {
  DryRun,
  VmApi,
  VmBody,
  VmListQuery,
  VmOperation,
  WaitOptions,
} from '../engine-api.ts';
import type { Readiness } from '../readiness.ts';
import type { Cause, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import { unreadyReason, workloadDetails } from '../workload-view.ts';
import type { Admission } from './admission.ts';
import type { Journal } from './journal.ts';
import type { LaunchPlanner } from './launch-planner.ts';
import type { Progress, Vms } from './vms.ts';

/** What a guest's kernel says when it has no memory left. */
const OUT_OF_MEMORY = /out of memory|oom-killer|deadlocked on memory/i;

export interface VmServiceParts {
  readonly state: State;
  readonly vms: Vms;
  readonly admission: Admission;
  readonly planner: LaunchPlanner;
  readonly readiness: Readiness;
  readonly journal: Pick<Journal, 'of'>;
  readonly log: Logger;
}

export class VmService implements VmApi {
  readonly #parts: VmServiceParts;

  constructor(parts: VmServiceParts) {
    this.#parts = parts;
  }

  create(request: CreateVmRequest, options?: WaitOptions, cause?: Cause): Promise<VmBody> {
    const progress = this.#parts.vms.create(request, undefined, cause);
    return this.#run(request.name, progress, options, cause);
  }

  async planCreate(request: CreateVmRequest): Promise<DryRun & Vm> {
    const { admission, planner, state } = this.#parts;
    const { name } = request;
    const { config } = admission.resolve(request);
    const preparation = await planner.prepare(config, null);
    const asked = { name, config, preparation, replica: undefined, cause: BY_DAEMON };
    const { record } = await admission.foresee(asked);
    const { ipAddress, tapName } = record.leases;
    const actions = [
      ...(ipAddress === null ? [] : [{ action: 'lease.address', subject: ipAddress }]),
      ...(tapName === null ? [] : [{ action: 'create.tap', subject: tapName }]),
      { action: 'launch.hypervisor', subject: `${preparation.facts.driver} for ${record.name}` },
    ];
    return {
      ...state.vms.preview(record),
      dry_run: true,
      actions,
      kernel: preparation.kernelPath,
      vm_count_after: state.vms.size + 1,
      config,
    };
  }

  get(name: string): VmBody | undefined {
    return this.#parts.state.vms.body(name);
  }

  operations(name: string): readonly VmOperation[] {
    const { id } = this.#parts.state.require(name);
    return this.#parts.journal.of(id).map((record) => ({
      number: record.number,
      kind: record.kind,
      // Those of earlier versions say no more than whether somebody asked.
      cause: record.cause?.by ?? (record.kind === 'reconcile' ? 'daemon' : 'request'),
      ...requestIn(record.cause),
      started_at: toTimestamp(record.startedAtMs),
      ended_at: record.endedAtMs === null ? null : toTimestamp(record.endedAtMs),
      outcome: record.outcome ?? 'running',
      error: record.error,
      steps: record.steps,
    }));
  }

  list(query: VmListQuery): { readonly body: string; readonly total: number } {
    return this.#parts.state.vms.list(query);
  }

  start(name: string, options?: WaitOptions, cause?: Cause): Promise<VmBody> {
    return this.#run(name, this.#parts.vms.start(name, cause), options, cause);
  }

  async stop(name: string, graceMs?: number, cause?: Cause): Promise<VmBody> {
    await this.#parts.vms.stop(name, graceMs, cause);
    return this.#bodyOf(name);
  }

  restart(name: string, options?: WaitOptions, graceMs?: number, cause?: Cause): Promise<VmBody> {
    return this.#run(name, this.#parts.vms.restart(name, graceMs, cause), options, cause);
  }

  destroy(name: string, graceMs?: number, cause?: Cause): Promise<void> {
    return this.#parts.vms.destroy(name, graceMs, cause);
  }

  async #run(
    name: string,
    progress: Progress,
    options: WaitOptions | undefined,
    cause: Cause | undefined,
  ): Promise<VmBody> {
    await this.#waitFor(name, progress, options, cause);
    return this.#bodyOf(name);
  }

  async #waitFor(
    name: string,
    { accepted, done }: Progress,
    options: WaitOptions | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (options === undefined) return done;
    const { wait, timeoutMs } = options;
    await Promise.race([accepted, done]);
    if (wait === 'accepted') {
      this.#detach(name, done, cause);
      return;
    }
    const reached = wait === 'ready' ? this.#untilReady(name, done) : null;
    const goal = reached?.promise ?? done;
    // null: not reached in time.
    const result = await within(
      goal.then(() => true),
      timeoutMs,
    ).finally(() => reached?.release());
    if (result !== undefined) return;
    this.#detach(name, goal, cause);
    const { state } = this.#parts;
    const id = state.vms.recordByName(name)?.id;
    const workload = id === undefined ? undefined : state.vms.workloadOf(id);
    const reason = (id === undefined ? null : state.vms.reasonOf(id)) ?? unreadyReason(workload);
    const known = reason === null ? '' : `: ${reason}`;
    const why = `VM ${name} is not ${wait} after ${timeoutMs} ms; the operation goes on${known}`;
    throw new VolantError('WAIT_TIMEOUT', why, { details: workloadDetails(workload) });
  }

  /** Resolves when the VM is ready; rejects when it is gone or has ended before. */
  #untilReady(
    name: string,
    running: Promise<void>,
  ): { readonly promise: Promise<void>; readonly release: () => void } {
    const { state, readiness } = this.#parts;
    const { id } = state.require(name);
    const releases: (() => void)[] = [];
    let over = false;
    const promise = running.then(
      () =>
        new Promise<void>((resolve, reject) => {
          if (over) return;
          const look = () => {
            const record = state.find(id);
            if (record?.status !== 'running') {
              const why = `VM ${name} is ${endedAs(record)}`;
              reject(new VolantError('VM_STATE_CONFLICT', why));
            } else if (readiness.isReady(id)) resolve();
          };
          releases.push(readiness.subscribe((vmId) => vmId === id && look()));
          releases.push(state.events.subscribe(look));
          releases.push(readiness.watch(id));
          look();
        }),
    );
    const release = () => {
      over = true;
      for (const undo of releases.splice(0)) undo();
    };
    return { promise, release };
  }

  /** Nobody waits any more; the event log tells how it ended, and so does our own. */
  #detach(name: string, operation: Promise<void>, cause: Cause | undefined): void {
    operation.catch((error: unknown) => {
      const facts = { vm: name, ...requestIn(cause), err: error };
      this.#parts.log.warn(facts, 'an operation that nobody waits for failed');
    });
  }

  #bodyOf(name: string): VmBody {
    const body = this.#parts.state.vms.body(name);
    if (body === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return body;
  }
}

/** A crash says how it came about; one for want of memory what to do about it. */
function endedAs(record: VmRecord | undefined): string {
  const text = `${record?.status ?? 'deleted'} before it was ready`;
  if (record?.status !== 'crashed') return text;
  const crash = record.conditions?.find(({ type }) => type === 'Running');
  if (crash === undefined) return text;
  const isMemory = crash.reason === 'OutOfMemory' || OUT_OF_MEMORY.test(crash.message);
  const hint = isMemory ? `. It has ${record.memoryMb} MiB: give it more with memory_mb` : '';
  return `${text}: ${crash.message}${hint}`;
}
