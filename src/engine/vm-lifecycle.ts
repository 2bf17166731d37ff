// engine: create, start, stop, restart and destroy, and what happens when a hypervisor ends by
// itself. Each operation is: intent on disk, work in the world, result on disk. How the work is done
// is launcher's business.

import type { Clock } from '../lib/clock.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { CreateVmRequest, VmStatus } from '../schema/vm.ts';
import type { AddressPool } from './addresses.ts';
import type { Admission, Draft, ReplicaOrigin } from './admission.ts';
import type { Boots } from './boots/boots.ts';
import { type VmEventType, vmEvent } from './events.ts';
import { endGuest } from './guest-end.ts';
import type { ResolvedLaunch } from './launch-spec.ts';
import type { Launcher, LaunchPreparation, RunningVm } from './launcher.ts';
import type { DiskGuard } from './media/disk-guard.ts';
import type { Operations, Turn } from './operations.ts';
import type { ProcessExit } from './ports.ts';
import type { VmRecord } from './records.ts';
import { putVm, removalOf, type State } from './state.ts';
import type { Write } from './store-ports.ts';
import { moveTo, stateConflict } from './vm-state.ts';

/** The hypervisor's last answer on its control socket is waited for so long after its process is gone. */
const CONTROL_END_MS = 1_000;

export interface LifecycleParts {
  readonly state: State;
  readonly launcher: Launcher;
  readonly admission: Admission;
  readonly operations: Operations;
  readonly addresses: AddressPool;
  readonly boots: Boots;
  readonly diskGuard: DiskGuard;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A create on its way. */
export interface Creation {
  /** Resolves when the intent is on disk: name, address and record are the VM's. Never rejects. */
  readonly accepted: Promise<void>;
  /** It runs. Rejects with the error of the step that failed; then nothing is left of it. */
  readonly running: Promise<void>;
}

interface Relaunch {
  readonly type: 'VM_RELAUNCHED';
  readonly message: string;
  readonly attempt: number;
}

/** What a VM is after a start that failed. One that was launched again has run, and did not end as it should. */
const FAILED_START = ['stopped', 'VM_STOPPED'] as const;
const FAILED_AGAIN = ['crashed', 'VM_CRASHED'] as const;

export class VmLifecycle {
  readonly #parts: LifecycleParts;
  readonly #running = new Map<number, RunningVm>();

  constructor(parts: LifecycleParts) {
    this.#parts = parts;
  }

  create(request: CreateVmRequest, origin?: ReplicaOrigin): Creation {
    let accept: () => void = () => undefined;
    const accepted = new Promise<void>((resolve) => {
      accept = resolve;
    });
    const running = this.#create(request, origin, () => accept());
    return { accepted, running };
  }

  async start(name: string): Promise<void> {
    const { id, status } = this.#parts.state.require(name);
    this.#requireStatus(name, status, ['stopped', 'crashed'], 'cannot be started');
    await this.#parts.operations.run(id, async (turn) => {
      const record = this.#current(id, name);
      this.#requireStatus(name, record.status, ['stopped', 'crashed'], 'cannot be started');
      await this.#startStopped(record, turn);
    });
  }

  /**
   * Idempotent: a stopped VM stays as it is, without an event. A launch that waits is given
   * up; of a VM that never ran nothing is left then, and this answers VM_NOT_FOUND.
   */
  async stop(name: string): Promise<void> {
    const { id, status } = this.#parts.state.require(name);
    if (status === 'stopped') return;
    await this.#parts.operations.supersede(id, givenUp(name, 'stopped'), async (turn) => {
      const record = this.#current(id, name);
      if (record.status === 'stopped') return;
      if (record.status === 'crashed') await this.#move(record, 'stopped', 'VM_STOPPED');
      else await this.#stopRunning(record, turn);
    });
  }

  async restart(name: string): Promise<void> {
    const { id, status } = this.#parts.state.require(name);
    const allowed: VmStatus[] = ['running', 'stopped', 'crashed'];
    this.#requireStatus(name, status, allowed, 'cannot be restarted');
    await this.#parts.operations.run(id, async (turn) => {
      const record = this.#current(id, name);
      this.#requireStatus(name, record.status, allowed, 'cannot be restarted');
      const stopped = record.status === 'running' ? await this.#stopRunning(record, turn) : record;
      await this.#startStopped(stopped, turn);
    });
  }

  /** Works in every status; a second one answers VM_NOT_FOUND. A launch that waits for an image is given up. */
  async destroy(name: string): Promise<void> {
    const { id, neverRan, status } = this.#parts.state.require(name);
    await this.#parts.operations.supersede(id, givenUp(name, 'deleted'), async (turn) => {
      const isUndone =
        neverRan && status === 'starting' && this.#parts.state.find(id) === undefined;
      if (!isUndone) await this.#destroy(this.#current(id, name), turn);
    });
  }

  /** Ends a launch that waits for an image; what goes on without a wait goes on. */
  giveUp({ id, name }: VmRecord): void {
    this.#parts.operations.giveUp(id, givenUp(name, 'not wanted any more'));
  }

  async #create(
    request: CreateVmRequest,
    origin: ReplicaOrigin | undefined,
    accept: () => void,
  ): Promise<void> {
    const { admission, operations, launcher } = this.#parts;
    const { config, replica } = admission.resolve(request, origin);
    const preparation = await launcher.prepare(config, null);
    const draft = admission.reserve(request.name, config, preparation, replica);
    try {
      await operations.run(draft.record.id, (turn) => this.#createReserved(draft, accept, turn));
    } finally {
      admission.settle(draft);
    }
  }

  /** Takes over what recovery found alive. */
  adopted(record: VmRecord, vm: RunningVm): void {
    this.#register(record, vm, true);
    const ageMs = this.#parts.clock.nowMs() - record.updatedAtMs;
    this.#parts.boots.adopt(record, vm, ageMs);
  }

  /** Brings a half-done deletion or stop to its end; for recovery. */
  async finish(record: VmRecord): Promise<void> {
    await this.#parts.operations.follow(record.id, async (turn) => {
      if (record.status === 'deleting') await this.#destroy(record, turn);
      else await this.#stopRunning(record, turn);
    });
  }

  /** Removes a record whose VM never ran; for recovery. Nothing of it may be left in the world. */
  async forget(record: VmRecord, message: string): Promise<void> {
    const { state, addresses, clock } = this.#parts;
    const nowMs = clock.nowMs();
    const { ipAddress } = record.leases;
    const gone: VmRecord = { ...record, process: null, updatedAtMs: nowMs };
    await state.commit(removalOf(state, gone), [vmEvent('VM_DELETED', gone, message)]);
    if (ipAddress !== null) addresses.release(ipAddress, nowMs);
  }

  /** Closes the connections to all hypervisors; they run on. */
  disconnect(): void {
    for (const vm of this.#running.values()) {
      vm.control?.close();
      vm.agent?.close();
    }
    this.#running.clear();
  }

  /** undefined while none runs. */
  runningVm(vmId: number): RunningVm | undefined {
    return this.#running.get(vmId);
  }

  runningIds(): readonly number[] {
    return [...this.#running.keys()];
  }

  async #createReserved(
    { record, config, resolved, preparation }: Draft,
    accept: () => void,
    turn: Turn,
  ): Promise<void> {
    const { state, admission } = this.#parts;
    const { ipAddress } = record.leases;
    const updatedAtMs = record.createdAtMs;
    const writes: Write[] = [
      putVm(record),
      {
        table: 'configs',
        key: [record.id, 1],
        value: { vmId: record.id, version: 1, config, updatedAtMs },
      },
      // The highest id given so far, not this one: creates may reach the disk in another order.
      { table: 'meta', key: 'lastVmId', value: admission.lastVmId },
    ];
    if (ipAddress !== null) {
      const lease = { vmId: record.id, releasedAtMs: null };
      writes.push({ table: 'addresses', key: ipAddress, value: lease });
    }
    await state.commit(writes, [vmEvent('VM_CREATED', record)]);
    accept();
    try {
      await this.#launch(record, resolved, preparation, turn, 1);
    } catch (error) {
      await this.forget({ ...record, status: 'deleting' }, reasonOf(error));
      throw error;
    }
  }

  /** Launches and writes down that it runs; when either fails nothing is left in the world. */
  async #launch(
    record: VmRecord,
    resolved: ResolvedLaunch,
    preparation: LaunchPreparation,
    turn: Turn,
    attempt: number,
  ): Promise<void> {
    const { launcher, boots } = this.#parts;
    const vm = await launcher.launch(record, resolved, preparation, turn);
    const running = this.#changed(record, 'running', {
      process: vm.process.identity,
      neverRan: false,
    });
    try {
      await this.#parts.state.commit([putVm(running)], [vmEvent('VM_RUNNING', running)]);
    } catch (error) {
      await launcher.undo(record, resolved, preparation, vm);
      throw error;
    }
    this.#register(running, vm, false);
    boots.watch(running, vm, attempt);
    this.#parts.log.info({ vm: record.name, pid: vm.process.identity.pid }, 'VM runs');
  }

  /** `again` is for a guest that came up with a broken clock. */
  async #startStopped(record: VmRecord, turn: Turn, again?: Relaunch): Promise<void> {
    const { state, launcher } = this.#parts;
    const stored = state.store.config(record.id, record.configVersion);
    if (stored === undefined) throw new VolantError('INTERNAL', `VM ${record.name} has no config`);
    const { config } = stored;
    // A checksum may have to be computed first.
    const preparation = await turn.wait(() => launcher.prepare(config, record.id));
    const resolved = launcher.resolve(record, config, preparation);
    const starting = this.#changed(record, 'starting', {
      process: null,
      kernelCmdline: resolved.kernelCmdline,
      launchedConfigVersion: record.configVersion,
      runtime: config.runtime,
      cpuCores: config.resources.cpu_cores,
      memoryMb: config.resources.memory_mb,
      driver: preparation.facts.driver,
    });
    const event = vmEvent(again?.type ?? 'VM_STARTING', starting, again?.message);
    await state.commit([putVm(starting)], [event]);
    try {
      await this.#launch(starting, resolved, preparation, turn, again?.attempt ?? 1);
    } catch (error) {
      const [status, type] = again ? FAILED_AGAIN : FAILED_START;
      await this.#move(starting, status, type, reasonOf(error));
      throw error;
    }
  }

  async #stopRunning(record: VmRecord, turn: Turn): Promise<VmRecord> {
    const stopping =
      record.status === 'stopping' ? record : await this.#move(record, 'stopping', 'VM_STOPPING');
    try {
      await this.#endProcess(stopping, false, turn);
    } catch (error) {
      const running = await this.#move(stopping, 'running', 'VM_RUNNING', reasonOf(error));
      const config = this.#parts.state.store.config(record.id, record.configVersion)?.config;
      if (config !== undefined) await this.#parts.launcher.exposeAgain(running, config);
      throw error;
    }
    return this.#move(stopping, 'stopped', 'VM_STOPPED');
  }

  async #destroy(record: VmRecord, turn: Turn): Promise<void> {
    const deleting =
      record.status === 'deleting' ? record : await this.#move(record, 'deleting', 'VM_DELETING');
    await this.#endProcess(deleting, true, turn);
    await this.#parts.launcher.removeFiles(deleting);
    await this.forget(deleting, 'Deleted');
    this.#parts.log.info({ vm: record.name }, 'VM deleted');
  }

  async #endProcess(record: VmRecord, hurry: boolean, turn: Turn): Promise<void> {
    const { launcher, log } = this.#parts;
    const vm = this.#running.get(record.id);
    // Clients may take their time to go: other VMs have this one's place meanwhile.
    await turn.wait(() => launcher.drain(record));
    if (vm !== undefined) await endGuest(vm, record.name, hurry, log);
    this.#running.delete(record.id);
    await launcher.release(record, vm);
  }

  #register(record: VmRecord, vm: RunningVm, wasAdopted: boolean): void {
    this.#running.set(record.id, vm);
    if (vm.control !== null) this.#parts.diskGuard.watch(record, vm.control, wasAdopted);
    void vm.process.exited.then((exit) => this.#onExit(record.id, vm, exit));
  }

  /** An operation that waits for the exit takes note of it itself; this is for the ends nobody asked for. */
  async #onExit(vmId: number, vm: RunningVm, exit: ProcessExit): Promise<void> {
    const { operations, state, log } = this.#parts;
    try {
      await operations.follow(vmId, async (turn) => {
        const record = state.find(vmId);
        if (record === undefined || this.#running.get(vmId) !== vm) return;
        this.#running.delete(vmId);
        await this.#noteExit(record, vm, exit, turn);
      });
    } catch (error) {
      log.error({ id: vmId, err: error }, 'the end of a VM could not be written down');
    }
  }

  async #noteExit(record: VmRecord, vm: RunningVm, exit: ProcessExit, turn: Turn): Promise<void> {
    const { launcher, boots, log } = this.#parts;
    // The process may be seen to end before its last words on the control socket were read.
    if (vm.control !== null) await within(vm.control.ended, CONTROL_END_MS);
    const { status, message, brokenClock } = launcher.meaningOf(vm, exit);
    const attempt = brokenClock ? boots.nextAttempt(vm) : null;
    const lastWords = status === 'crashed' ? await launcher.lastWords(record.id) : [];
    await launcher.release(record, vm);
    log.info({ vm: record.name, ...exit }, message);
    if (attempt !== null) {
      await this.#relaunch(record, { type: 'VM_RELAUNCHED', message, attempt }, turn);
      return;
    }
    const type = status === 'crashed' ? 'VM_CRASHED' : 'VM_STOPPED';
    await this.#move(record, status, type, [message, ...lastWords.slice(-1)].join(': '));
  }

  /** One that fails, or is given up, leaves a crashed VM: its guest did run. */
  async #relaunch(record: VmRecord, again: Relaunch, turn: Turn): Promise<void> {
    try {
      await this.#startStopped(record, turn, again);
    } catch (error) {
      this.#parts.log.warn({ vm: record.name, err: error }, 'a guest could not be launched again');
      const left = this.#parts.state.find(record.id);
      // A start that failed after it was written down has said so.
      if (left?.status === 'running')
        await this.#move(left, 'crashed', 'VM_CRASHED', reasonOf(error));
    }
  }

  /** Commits a new status with its event. */
  async #move(
    record: VmRecord,
    to: VmStatus,
    type: VmEventType,
    message?: string,
  ): Promise<VmRecord> {
    const alive = to === 'running' || to === 'stopping' || to === 'deleting';
    const moved = this.#changed(record, to, alive ? {} : { process: null });
    await this.#parts.state.commit([putVm(moved)], [vmEvent(type, moved, message)]);
    return moved;
  }

  #changed(record: VmRecord, to: VmStatus, changes: Partial<VmRecord>): VmRecord {
    const status = moveTo(record.name, record.status, to);
    return { ...record, ...changes, status, updatedAtMs: this.#parts.clock.nowMs() };
  }

  /** The record as it is when the operation's turn has come. */
  #current(vmId: number, name: string): VmRecord {
    const record = this.#parts.state.find(vmId);
    if (record === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return record;
  }

  #requireStatus(name: string, status: VmStatus, allowed: VmStatus[], why: string): void {
    if (!allowed.includes(status)) throw stateConflict(name, status, why);
  }
}

/** Why a launch that waits for an image or for its turn ends. */
function givenUp(name: string, how: string): VolantError {
  return new VolantError('VM_STATE_CONFLICT', `VM ${name} was ${how} while it waited to start`);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
