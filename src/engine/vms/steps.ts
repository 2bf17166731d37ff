// engine, vms: how each step of a VM is taken. next-step.ts decides which step is next, record-writer.ts stores the result, and
// launcher.ts launches and releases.

import { within } from '../../lib/deadline.ts';
import { toVolantError, VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Turn } from '../../lib/queues/turn.ts';
import type { Boots } from '../boots/boots.ts';
import { requestIn } from '../events/cause.ts';
import type { VmRecord } from '../records.ts';
import type { EndReader } from './ends/end-reader.ts';
import type { GuestShutdown } from './ends/guest-shutdown.ts';
import type { LaunchPlanner } from './launch/launch-planner.ts';
import type { Launcher } from './launcher.ts';
import type { StepName } from './next-step.ts';
import type { Live, LiveVms } from './processes/live.ts';
import type { RecordWriter } from './record-writer.ts';

/** How long to wait for the end of the control connection after the process is gone. */
const CONTROL_END_MS = 1_000;

export interface StepsParts {
  readonly live: LiveVms;
  readonly planner: LaunchPlanner;
  readonly launcher: Launcher;
  readonly guestShutdown: GuestShutdown;
  readonly ends: EndReader;
  readonly recordWriter: RecordWriter;
  readonly boots: Boots;
  /** Discards what is known of the VM, because it may be wrong. */
  readonly invalidate: (vmId: number) => void;
  readonly log: Logger;
}

type Take = (record: VmRecord, live: Live, turn: Turn) => Promise<void>;

export class Steps {
  readonly #parts: StepsParts;
  readonly #table: Readonly<Record<Exclude<StepName, 'look'>, Take>>;

  constructor(parts: StepsParts) {
    this.#parts = parts;
    this.#table = {
      launch: (record, live, turn) => this.#launch(record, live, turn),
      noteRunning: (record, live) => this.#noteRunning(record, live),
      end: (record, live, turn) => this.#end(record, live, turn),
      noteEnd: (record, live) => this.#noteEnd(record, live),
      release: (record, live) => this.#release(record, live),
      noteReleased: async ({ id }) => void (await parts.recordWriter.released(id)),
      noteFailure: (record, live) => this.#noteFailure(record, live),
      forget: (record, live) => this.#forget(record, live),
    };
  }

  /** Takes a step. Rejects if it failed; it may then be taken again. */
  take(step: Exclude<StepName, 'look'>, record: VmRecord, turn: Turn): Promise<void> {
    return this.#table[step](record, this.#parts.live.of(record.id), turn);
  }

  /** A failed launch is not retried: its request gets the error, and everything is released. */
  async #launch(record: VmRecord, live: Live, turn: Turn): Promise<void> {
    const { planner, launcher, recordWriter, log } = this.#parts;
    try {
      const draft = live.draft ?? (await planner.draft(record, turn));
      live.draft = null;
      const starting = await recordWriter.launching(record.id, draft.facts);
      live.isReleased = false;
      live.vm = null;
      await launcher.launch(starting, draft, turn, (vm) => {
        this.#parts.live.watch(record.id, vm);
      });
    } catch (error) {
      log.warn({ ...subjectOf(record), err: error }, 'a launch failed');
      // A process may exist nevertheless, without this daemon knowing of it.
      if (!live.isReleased && live.vm === null) this.#parts.invalidate(record.id);
      live.failure = { launch: record.wanted.launch, error };
    }
  }

  async #noteRunning(record: VmRecord, live: Live): Promise<void> {
    const { recordWriter, boots, log } = this.#parts;
    const { vm } = live;
    if (vm === null) throw new VolantError('INTERNAL', 'There is no process to record');
    let running: VmRecord;
    try {
      running = await recordWriter.running(record.id, vm.process.identity);
    } catch (error) {
      live.failure = { launch: record.wanted.launch, error };
      return;
    }
    live.failure = null;
    boots.watch(running, vm, running.observed.attempt);
    log.info({ ...subjectOf(record), pid: vm.process.identity.pid }, 'VM runs');
  }

  async #end(record: VmRecord, live: Live, turn: Turn): Promise<void> {
    const { vm } = live;
    if (vm === null) throw new VolantError('INTERNAL', 'There is no process to end');
    if (record.process === null) {
      // Its launch was never reported as running, so there is no grace period.
      live.end = { exit: await this.#parts.guestShutdown.kill(vm, record.name) };
      return;
    }
    const exit = await this.#parts.guestShutdown.end(record, vm, turn);
    if (exit !== null) live.end = { exit };
  }

  async #noteEnd(record: VmRecord, live: Live): Promise<void> {
    const { ends, recordWriter, boots, log } = this.#parts;
    const { end, isReleased } = live;
    if (end === null) throw new VolantError('INTERNAL', 'No process has ended');
    const report = await ends.read(record, live);
    await recordWriter.ended(record.id, report, isReleased);
    if (report.again === 'boot') boots.countRelaunch();
    log.info({ ...subjectOf(record), ...end }, report.message);
  }

  async #release(record: VmRecord, live: Live): Promise<void> {
    const { vm } = live;
    // The exit may be seen before the last message on the control socket was read.
    if (vm !== null && record.status === 'running') {
      await within(vm.control.drained(), CONTROL_END_MS);
    }
    // The release removes the cgroup, which has the OOM counters.
    if (record.status === 'running') live.oom ??= await this.#parts.ends.oomOf(record, live.end);
    live.releaseFailed = true;
    await this.#parts.launcher.release(record, vm);
    live.releaseFailed = false;
    live.hasFiles = record.wanted.state !== 'deleted';
    live.isReleased = true;
  }

  async #noteFailure(record: VmRecord, { failure }: Live): Promise<void> {
    await this.#parts.recordWriter.failed(record.id, toVolantError(failure?.error).message);
  }

  async #forget(record: VmRecord, { failure, hasFiles }: Live): Promise<void> {
    const { launcher, recordWriter, live, log } = this.#parts;
    if (hasFiles) await launcher.removeFiles(record);
    const isWanted = record.wanted.state !== 'deleted';
    const why =
      failure === null ? 'It was stopped before it ran' : toVolantError(failure.error).message;
    await recordWriter.removed(record.id, isWanted ? why : 'Deleted');
    live.forget(record.id);
    this.#parts.ends.forget(record.id);
    log.info(subjectOf(record), 'VM deleted');
  }
}

/** For the log: the VM, and the request that the work is for. */
function subjectOf({ name, wanted }: VmRecord) {
  return { vm: name, ...requestIn(wanted.cause) };
}
