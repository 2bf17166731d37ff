// engine, vms: starts the VMs with autostart after a restart of the host. A restart is detected by the boot id, which
// is stored after all these starts have been requested.

import { LIMITS } from '../../../config/limits.ts';
import { toVolantError } from '../../../lib/errors.ts';
import type { Logger } from '../../../lib/log/log.ts';
import { BY_DAEMON } from '../../events/cause.ts';
import type { VmSummary } from '../../records.ts';
import type { State } from '../../state/state.ts';
import type { Executor } from '../executor.ts';
import type { LiveVms } from '../processes/live.ts';
import type { RecordWriter } from '../record-writer.ts';
import type { Vms } from '../vms.ts';

export interface AutostartParts {
  readonly state: State;
  readonly live: Pick<LiveVms, 'runningVm'>;
  readonly vms: Pick<Vms, 'startAgain'>;
  readonly recordWriter: Pick<RecordWriter, 'notStarted'>;
  readonly executor: Pick<Executor, 'until'>;
  readonly log: Logger;
}

/** The message of the event of such a start. */
export const HOST_RESTARTED = 'The host was restarted, and autostart is set';

export class Autostart {
  readonly #parts: AutostartParts;
  #isClosed = false;

  constructor(parts: AutostartParts) {
    this.#parts = parts;
  }

  /**
   * Call it after recovery, with the stored boot id and the current one. Returns at once. Starts continue in the
   * background, in the order in which the VMs were created, with bounded concurrency.
   */
  begin(before: string | null, bootId: string | null): void {
    if (bootId === null || bootId === before) return;
    // Records of an earlier version have no boot id, and no VM with autostart either.
    void this.#startAll(before !== null, bootId).catch((error: unknown) => {
      this.#parts.log.error({ err: error }, 'VMs could not be started after a restart of the host');
    });
  }

  /** Requests no more starts. Starts that were requested end like all others when the daemon ends. */
  close(): void {
    this.#isClosed = true;
  }

  async #startAll(wasRestarted: boolean, bootId: string): Promise<void> {
    const { state, log } = this.#parts;
    const records = wasRestarted
      ? [...state.vms.summaries()].filter((one) => this.#comesUp(one))
      : [];
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
    // The remaining starts are left to the next daemon.
    if (this.#isClosed) return;
    await state.commit([{ table: 'meta', key: 'bootId', value: bootId }], []);
  }

  /** The VM should run, does not, and no deployment starts it. */
  #comesUp({ id, wantedState, needsLaunch, deployment }: VmSummary): boolean {
    const { state } = this.#parts;
    if (wantedState !== 'running' || needsLaunch || deployment !== null) return false;
    const version = state.find(id)?.configVersion;
    return version !== undefined && state.store.config(id, version)?.config.autostart === true;
  }

  async #start({ id, name }: VmSummary): Promise<void> {
    const { state, live, vms, executor, log } = this.#parts;
    const isAlive = () => live.runningVm(id) !== undefined;
    try {
      // The end that the host's restart caused may not be stored yet. An adopted VM has not ended.
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
      // All other failures have stored an event already.
      if (code !== 'MEMORY_EXHAUSTED' && code !== 'CPU_EXHAUSTED') return;
      await this.#noteNotStarted(id, name, message);
    }
  }

  /** Never rejects: a VM that fails holds up no other. */
  async #noteNotStarted(id: number, name: string, why: string): Promise<void> {
    const { recordWriter, log } = this.#parts;
    try {
      await recordWriter.notStarted(id, `The host was restarted: ${why}`);
    } catch (error) {
      log.warn({ vm: name, err: error }, 'a failed start could not be recorded');
    }
  }
}
