// engine, vms: writes the descriptions of VMs to their run directories, for a daemon that has lost its records. They
// are written some seconds after a launch, in batches: a file written beside each launch would slow down every sync of
// the store.

import { LIMITS } from '../../../config/limits.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { VmConfig } from '../../../schema/vm-config.ts';
import type { ProcessHost } from '../../ports/process-ports.ts';
import type { StorePort } from '../../ports/store-ports.ts';
import type { VmDescription, VmRecord } from '../../records.ts';
import type { State } from '../../state/state.ts';

/** The description of a VM that was launched with this config. */
export type Describe = (record: VmRecord, config: VmConfig) => VmDescription;

export interface DescriptionsParts {
  readonly state: Pick<State, 'find'> & { readonly store: Pick<StorePort, 'config'> };
  readonly host: Pick<ProcessHost, 'describeVms'>;
  readonly describe: Describe;
  readonly log: Logger;
}

export class Descriptions {
  readonly #parts: DescriptionsParts;
  /** VMs whose last launch is not described in their run directory yet, oldest first. */
  readonly #pending = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: DescriptionsParts) {
    this.#parts = parts;
  }

  /**
   * Schedules the description of a VM that was launched or adopted. It is made from the record at the time of the
   * write.
   */
  schedule(vmId: number): void {
    this.#pending.add(vmId);
    this.#later(LIMITS.descriptionWriteMs);
  }

  /** Writes all pending descriptions. Those that fail are written after the next start. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#write();
  }

  #later(delayMs: number): void {
    this.#timer ??= setTimeout(() => void this.#round(), delayMs).unref();
  }

  async #round(): Promise<void> {
    const isWritten = await this.#write();
    this.#timer = undefined;
    if (this.#pending.size > 0) {
      this.#later(isWritten ? LIMITS.descriptionWriteMs : LIMITS.descriptionRetryMs);
    }
  }

  /** Writes in sequence, so that the later of two launches of one VM wins. Resolves to false if a job failed. */
  async #write(): Promise<boolean> {
    const due = [...this.#pending];
    try {
      for (let at = 0; at < due.length; at += LIMITS.descriptionsPerJobMax) {
        const vmIds = due.slice(at, at + LIMITS.descriptionsPerJobMax);
        for (const vmId of vmIds) this.#pending.delete(vmId);
        const descriptions = vmIds.flatMap((vmId) => this.#describe(vmId) ?? []);
        if (descriptions.length > 0) await this.#parts.host.describeVms(descriptions);
      }
      return true;
    } catch (error) {
      for (const vmId of due) this.#pending.add(vmId);
      this.#parts.log.warn({ err: error }, 'descriptions of VMs could not be written');
      return false;
    }
  }

  #describe(vmId: number): VmDescription | null {
    const { state, describe } = this.#parts;
    const record = state.find(vmId);
    if (record === undefined || record.wanted.state === 'deleted') return null;
    const stored = state.store.config(vmId, record.launchedConfigVersion);
    return stored === undefined ? null : describe(record, stored.config);
  }
}
