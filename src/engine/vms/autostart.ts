// engine, vms: which VMs come up again after the host was restarted, and starts them. Whether the host was restarted is
// told by its boot id, which is remembered when all of them have been asked for.

import { LIMITS } from '../../config.ts';
import { toVolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { BY_DAEMON } from '../cause.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { Executor } from './executor.ts';
import type { LiveVms } from './live.ts';
import type { Notes } from './notes.ts';
import { owesLaunch } from './status.ts';
import type { Vms } from './vms.ts';

export interface AutostartParts {
  readonly state: State;
  readonly live: Pick<LiveVms, 'runningVm'>;
  readonly vms: Pick<Vms, 'startAgain'>;
  readonly notes: Pick<Notes, 'notStarted'>;
  readonly executor: Pick<Executor, 'until'>;
  readonly log: Logger;
}

/** For the event of such a start. */
export const HOST_RESTARTED = 'The host was restarted, and autostart is set';

export class Autostart {
  readonly #parts: AutostartParts;
  #isClosed = false;

  constructor(parts: AutostartParts) {
    this.#parts = parts;
  }

  /**
   * To be called after recovery, with the boot id that the records remember and the one of now. Returns at once; starts go
   * on in the order in which the VMs were made, so many at a time.
   */
  begin(before: string | null, bootId: string | null): void {
    if (bootId === null || bootId === before) return;
    // Records of an earlier version remember none, and have no VM with autostart either.
    void this.#startAll(before !== null, bootId).catch((error: unknown) => {
      this.#parts.log.error({ err: error }, 'VMs could not be started after a restart of the host');
    });
  }

  /** Starts nothing more. What was asked for is as any other start that the end of the daemon meets. */
  close(): void {
    this.#isClosed = true;
  }

  async #startAll(wasRestarted: boolean, bootId: string): Promise<void> {
    const { state, log } = this.#parts;
    const records = wasRestarted ? state.vms.records().filter((one) => this.#comesUp(one)) : [];
    if (records.length > 0) {
      const vms = records.map(({ name }) => name);
      log.info(
        { vms: vms.length, first: vms.slice(0, 8) },
        'autostart after a restart of the host',
      );
    }
    const queue = records.values();
    const work = async () => {
      for (const record of queue) {
        if (this.#isClosed) return;
        await this.#start(record);
      }
    };
    await Promise.all(Array.from({ length: LIMITS.autostartsRunningMax }, work));
    // Those that were not asked for are asked for by the next daemon.
    if (this.#isClosed) return;
    await state.commit([{ table: 'meta', key: 'bootId', value: bootId }], []);
  }

  /** It should run, does not, and nobody else brings it up. */
  #comesUp(record: VmRecord): boolean {
    const { state } = this.#parts;
    if (record.wanted.state !== 'running' || owesLaunch(record)) return false;
    if (record.replica !== undefined) return false;
    return state.store.config(record.id, record.configVersion)?.config.autostart === true;
  }

  async #start({ id, name }: VmRecord): Promise<void> {
    const { state, live, vms, executor, notes, log } = this.#parts;
    const isAlive = () => live.runningVm(id) !== undefined;
    try {
      // Its end with the host may not be written down yet. One that was adopted has not ended.
      if (state.find(id)?.status === 'running' && !isAlive()) {
        await executor.until(id, (record) => record?.status !== 'running' || isAlive());
      }
      const status = state.find(id)?.status;
      if (status !== 'stopped' && status !== 'crashed') return;
      await vms.startAgain(name, HOST_RESTARTED, BY_DAEMON).done;
    } catch (error) {
      if (this.#isClosed) return;
      log.warn({ vm: name, err: error }, 'a VM did not come up after a restart of the host');
      const { code, message } = toVolantError(error);
      // The others have told their failure themselves.
      if (code !== 'MEMORY_EXHAUSTED' && code !== 'CPU_EXHAUSTED') return;
      await notes.notStarted(id, `The host was restarted: ${message}`);
    }
  }
}
