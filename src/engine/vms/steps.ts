// engine, vms: how each step of a VM's life is taken. Which one is next, is next-step's business; what is written down,
// notes'; how a hypervisor is launched and its things are given back, launcher's.

import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import { requestIn } from '../cause.ts';
import type { VmRecord } from '../records.ts';
import type { EndReader } from './end-reader.ts';
import { type GuestEnds, killGuest } from './guest-end.ts';
import type { LaunchPlanner } from './launch-planner.ts';
import type { Launcher } from './launcher.ts';
import type { Live, LiveVms } from './live.ts';
import type { StepName } from './next-step.ts';
import type { Notes } from './notes.ts';
import type { Turn } from './operations.ts';

/** The hypervisor's last answer on its control socket is waited for so long after its process is gone. */
const CONTROL_END_MS = 1_000;

export interface StepsParts {
  readonly live: LiveVms;
  readonly planner: LaunchPlanner;
  readonly launcher: Launcher;
  readonly guestEnds: GuestEnds;
  readonly ends: EndReader;
  readonly notes: Notes;
  readonly boots: Boots;
  /** What is known of the VM may be wrong. */
  readonly doubt: (vmId: number) => void;
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
      noteReleased: async ({ id }) => void (await parts.notes.released(id)),
      noteFailure: (record, live) => this.#noteFailure(record, live),
      forget: (record, live) => this.#forget(record, live),
    };
  }

  /** Rejects when it went wrong; then it may be taken again. */
  take(step: Exclude<StepName, 'look'>, record: VmRecord, turn: Turn): Promise<void> {
    return this.#table[step](record, this.#parts.live.of(record.id), turn);
  }

  /** A launch that fails is not tried again: whoever asked for it is told, and everything is taken back. */
  async #launch(record: VmRecord, live: Live, turn: Turn): Promise<void> {
    const { planner, launcher, notes, log } = this.#parts;
    try {
      const draft = live.draft ?? (await planner.draft(record, turn));
      live.draft = null;
      const starting = await notes.launching(record.id, draft.facts);
      live.isReleased = false;
      live.vm = null;
      await launcher.launch(starting, draft, turn, (vm) => {
        this.#parts.live.watch(record.id, vm);
      });
    } catch (error) {
      log.warn({ ...subjectOf(record), err: error }, 'a launch failed');
      // A process may have come of it all the same, of which nobody has heard.
      if (!live.isReleased && live.vm === null) this.#parts.doubt(record.id);
      live.failure = { launch: record.wanted.launch, error };
    }
  }

  async #noteRunning(record: VmRecord, live: Live): Promise<void> {
    const { notes, boots, log } = this.#parts;
    const { vm } = live;
    if (vm === null) throw new VolantError('INTERNAL', 'There is no process to write down');
    let running: VmRecord;
    try {
      running = await notes.running(record.id, vm.process.identity);
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
      // Nobody was told that it runs.
      live.end = { exit: await killGuest(vm, record.name) };
      return;
    }
    const exit = await this.#parts.guestEnds.end(record, vm, turn);
    if (exit !== null) live.end = { exit };
  }

  async #noteEnd(record: VmRecord, live: Live): Promise<void> {
    const { ends, notes, boots, log } = this.#parts;
    const { end, isReleased } = live;
    if (end === null) throw new VolantError('INTERNAL', 'No process has ended');
    const story = await ends.read(record, live);
    await notes.ended(record.id, story, isReleased);
    if (story.again === 'clock') boots.countRelaunch();
    log.info({ ...subjectOf(record), ...end }, story.message);
  }

  async #release(record: VmRecord, live: Live): Promise<void> {
    const { vm } = live;
    // The process may be seen to end before its last words on the control socket were read.
    if (vm !== null && record.status === 'running') {
      await within(vm.control.drained(), CONTROL_END_MS);
    }
    // Afterwards its cgroup, which knows, is gone.
    if (record.status === 'running') live.oom ??= await this.#parts.ends.oomOf(record, live.end);
    live.releaseFailed = true;
    await this.#parts.launcher.release(record, vm);
    live.releaseFailed = false;
    live.hasFiles = record.wanted.state !== 'deleted';
    live.isReleased = true;
  }

  async #noteFailure(record: VmRecord, { failure }: Live): Promise<void> {
    const { error } = failure ?? {};
    await this.#parts.notes.failed(
      record.id,
      error instanceof Error ? error.message : String(error),
    );
  }

  async #forget(record: VmRecord, { failure, hasFiles }: Live): Promise<void> {
    const { launcher, notes, live, log } = this.#parts;
    if (hasFiles) await launcher.removeFiles(record);
    const isWanted = record.wanted.state !== 'deleted';
    const { error } = failure ?? {};
    const why = error instanceof Error ? error.message : 'It was stopped before it ran';
    await notes.removed(record.id, isWanted ? why : 'Deleted');
    live.forget(record.id);
    this.#parts.ends.forget(record.id);
    log.info(subjectOf(record), 'VM deleted');
  }
}

/** For the log: which VM, and who wanted what is done for it. */
function subjectOf({ name, wanted }: VmRecord) {
  return { vm: name, ...requestIn(wanted.cause) };
}
