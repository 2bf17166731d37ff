// engine, vms: the operations on VMs that the API offers, and how long a client waits for each.

import { toTimestamp } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { CreateVmRequest, Vm, VmResult } from '../../schema/vm.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type {
  DryRun,
  VmApi,
  VmBody,
  VmListQuery,
  VmOperation,
  VmPage,
  VmStream,
  VmWaitFor,
  WaitOptions,
} from '../engine-api.ts';
import { BY_DAEMON, requestIn } from '../events/cause.ts';
import type { Readiness } from '../guests/readiness.ts';
import { unreadyReason, workloadDetails } from '../guests/workload-view.ts';
import type { Cause, StoredEvent, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import type { Admission } from './admission.ts';
import { exitText, mayExit } from './ends/verdict.ts';
import type { Journal } from './journal.ts';
import type { LaunchPlanner } from './launch/launch-planner.ts';
import type { Progress, Vms } from './vms.ts';

/** What a guest's kernel prints if it runs out of memory. */
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

  async create(
    request: CreateVmRequest,
    options?: WaitOptions<VmWaitFor>,
    cause?: Cause,
  ): Promise<VmBody> {
    if (options?.wait === 'exited') {
      requireExit(request.name, this.#parts.admission.resolve(request).config);
    }
    const progress = this.#parts.vms.create(request, undefined, cause);
    return this.#run(request.name, progress, options, cause);
  }

  async planCreate(request: CreateVmRequest): Promise<DryRun & Vm> {
    const { admission, planner, state } = this.#parts;
    const { name } = request;
    const { config } = admission.resolve(request);
    const preparation = await planner.prepare(config, null);
    const deadlineSeconds = request.deadline_seconds;
    const drafted = { name, config, preparation, replica: undefined };
    const asked = { ...drafted, cause: BY_DAEMON, deadlineSeconds };
    const { record } = await admission.preview(asked);
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
      // Operations of earlier versions have no cause, but their kind shows whether it was a request.
      cause: record.cause?.by ?? (record.kind === 'reconcile' ? 'daemon' : 'request'),
      ...requestIn(record.cause),
      started_at: toTimestamp(record.startedAtMs),
      ended_at: record.endedAtMs === null ? null : toTimestamp(record.endedAtMs),
      outcome: record.outcome ?? 'running',
      error: record.error,
      steps: record.steps,
    }));
  }

  result(name: string): VmResult {
    const { state } = this.#parts;
    const found = state.store.result(state.require(name).id);
    if (found === undefined) {
      throw new VolantError('RESULT_NOT_FOUND', `The guest of ${name} has posted no result`);
    }
    return {
      name,
      content_type: found.isJson ? 'application/json' : 'text/plain',
      size_bytes: found.sizeBytes,
      posted_at: toTimestamp(found.postedAtMs),
      body: found.text,
    };
  }

  list(query: VmListQuery): VmPage | Promise<VmPage> {
    return this.#parts.state.vms.list(query);
  }

  stream(query: VmListQuery): Promise<VmStream> {
    return this.#parts.state.vms.stream(query);
  }

  async start(name: string, options?: WaitOptions<VmWaitFor>, cause?: Cause): Promise<VmBody> {
    this.#requireExit(name, options);
    return this.#run(name, this.#parts.vms.start(name, cause), options, cause);
  }

  async stop(name: string, graceMs?: number, cause?: Cause): Promise<VmBody> {
    await this.#parts.vms.stop(name, graceMs, cause);
    return this.#bodyOf(name);
  }

  async restart(
    name: string,
    options?: WaitOptions<VmWaitFor>,
    graceMs?: number,
    cause?: Cause,
  ): Promise<VmBody> {
    this.#requireExit(name, options);
    return this.#run(name, this.#parts.vms.restart(name, graceMs, cause), options, cause);
  }

  async setDeadline(name: string, seconds: number | null, cause?: Cause): Promise<VmBody> {
    await this.#parts.vms.setDeadline(name, seconds, cause);
    return this.#bodyOf(name);
  }

  destroy(name: string, graceMs?: number, cause?: Cause): Promise<void> {
    return this.#parts.vms.destroy(name, graceMs, cause);
  }

  #requireExit(name: string, options: WaitOptions<VmWaitFor> | undefined): void {
    if (options?.wait !== 'exited') return;
    const { state } = this.#parts;
    const { id, configVersion } = state.require(name);
    const stored = state.store.config(id, configVersion);
    if (stored !== undefined) requireExit(name, stored.config);
  }

  async #run(
    name: string,
    progress: Progress,
    options: WaitOptions<VmWaitFor> | undefined,
    cause: Cause | undefined,
  ): Promise<VmBody> {
    await this.#waitFor(name, progress, options, cause);
    return this.#bodyOf(name);
  }

  async #waitFor(
    name: string,
    { accepted, done }: Progress,
    options: WaitOptions<VmWaitFor> | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (options === undefined) return done;
    const { wait, timeoutMs } = options;
    await Promise.race([accepted, done]);
    if (wait === 'accepted') {
      this.#detach(name, done, cause);
      return;
    }
    const reached = this.#reaching(name, wait, done);
    const goal = reached?.promise ?? done;
    // undefined: not reached in time.
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
    const is = wait === 'exited' ? 'has not' : 'is not';
    const why = `VM ${name} ${is} ${wait} after ${timeoutMs} ms; the operation continues${known}`;
    throw new VolantError('WAIT_TIMEOUT', why, { details: workloadDetails(workload) });
  }

  /** For a goal behind `running`: resolves when it is reached, and rejects if it cannot be reached any more. */
  #reaching(
    name: string,
    wait: VmWaitFor,
    running: Promise<void>,
  ): { readonly promise: Promise<void>; readonly release: () => void } | null {
    if (wait !== 'ready' && wait !== 'exited') return null;
    const { state, readiness } = this.#parts;
    const { id } = state.require(name);
    const releases: (() => void)[] = [];
    let over = false;
    const promise = running.then(
      () =>
        new Promise<void>((resolve, reject) => {
          if (over) return;
          const check = () => {
            const record = state.find(id);
            const isReached = wait === 'ready' ? readiness.isReady(id) : hasExited(record);
            const mayReach = wait === 'ready' ? record?.status === 'running' : mayYetExit(record);
            if (wait === 'exited' && isReached) resolve();
            else if (!mayReach) {
              const why = `VM ${name} ${endedAs(record, wait)}`;
              reject(new VolantError('VM_STATE_CONFLICT', why));
            } else if (isReached) resolve();
          };
          releases.push(readiness.subscribe((vmId) => vmId === id && check()));
          const ofThisVm = ({ body }: StoredEvent) => body.name === name;
          releases.push(
            state.events.subscribe((events) => void (events.some(ofThisVm) && check())),
          );
          if (wait === 'ready') releases.push(readiness.watch(id));
          check();
        }),
    );
    const release = () => {
      over = true;
      for (const undo of releases.splice(0)) undo();
    };
    return { promise, release };
  }

  /** Nobody waits for the operation any more, so its failure is logged. Its outcome is an event, too. */
  #detach(name: string, operation: Promise<void>, cause: Cause | undefined): void {
    operation.catch((error: unknown) => {
      const facts = { vm: name, ...requestIn(cause), err: error };
      this.#parts.log.warn(facts, 'an operation failed after its client stopped waiting');
    });
  }

  #bodyOf(name: string): VmBody {
    const body = this.#parts.state.vms.body(name);
    if (body === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return body;
  }
}

function hasExited(record: VmRecord | undefined): boolean {
  return record !== undefined && record.process === null && (record.observed.exit ?? null) !== null;
}

/** The launch that is waited for has begun, so a VM that is stopped or has crashed does not exit any more. */
function mayYetExit(record: VmRecord | undefined): boolean {
  return record !== undefined && !['stopped', 'crashed', 'deleting'].includes(record.status);
}

/** A wait for an end that never comes is refused before anything is done. */
function requireExit(name: string, { manifest }: Pick<VmConfig, 'manifest'>): void {
  if (mayExit(manifest)) return;
  const why = `The workload of VM ${name} is always started again when it ends: exited needs workload.restart on-failure or never in its manifest`;
  throw new VolantError('PARAMETER_INVALID', why, { details: { wait: why } });
}

/** How a VM ended, for a message. A crash has its reason, and a lack of memory a hint. */
function endedAs(record: VmRecord | undefined, wait: 'ready' | 'exited'): string {
  const exit = record?.observed.exit ?? null;
  if (exit !== null) return `${exitText(exit)} before it was ready`;
  const goal = wait === 'ready' ? 'it was ready' : 'its workload exited';
  const text = `is ${record?.status ?? 'deleted'} before ${goal}`;
  if (record?.status !== 'crashed') return text;
  const crash = record.conditions?.find(({ type }) => type === 'Running');
  if (crash === undefined) return text;
  const isMemory = crash.reason === 'OutOfMemory' || OUT_OF_MEMORY.test(crash.message);
  const hint = isMemory ? `. It has ${record.memoryMb} MiB: raise memory_mb` : '';
  return `${text}: ${crash.message}${hint}`;
}
