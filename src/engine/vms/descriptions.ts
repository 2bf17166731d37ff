// engine, vms: the descriptions of VMs in their run directories, for a daemon that has lost its records. They are written
// some seconds after a launch, many at a time: a file that is written beside each launch makes every sync of the records
// wait for that file's data as well.

import { LIMITS } from '../../config.ts';
import type { Logger } from '../../lib/log.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { HostPort } from '../ports.ts';
import type { VmDescription, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { StorePort } from '../store-ports.ts';

/** What is left of a VM that was launched with this config. */
export type Describe = (record: VmRecord, config: VmConfig) => VmDescription;

export interface DescriptionsParts {
  readonly state: Pick<State, 'find'> & { readonly store: Pick<StorePort, 'config'> };
  readonly host: Pick<HostPort, 'describeVms'>;
  readonly describe: Describe;
  readonly log: Logger;
}

export class Descriptions {
  readonly #parts: DescriptionsParts;
  /** VMs whose run directory has no description of their last launch yet, oldest first. */
  readonly #owed = new Set<number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: DescriptionsParts) {
    this.#parts = parts;
  }

  /** The VM was launched or adopted: it is described soon, as its record is by then. */
  owe(vmId: number): void {
    this.#owed.add(vmId);
    this.#later(LIMITS.descriptionWriteMs);
  }

  /** Writes what is owed. What cannot be written is left: the next start owes it again. */
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
    if (this.#owed.size > 0) {
      this.#later(isWritten ? LIMITS.descriptionWriteMs : LIMITS.descriptionRetryMs);
    }
  }

  /** One job after the other, so that of two launches of one VM the later has the last word. false: a job failed. */
  async #write(): Promise<boolean> {
    const due = [...this.#owed];
    try {
      for (let at = 0; at < due.length; at += LIMITS.descriptionsPerJobMax) {
        const vmIds = due.slice(at, at + LIMITS.descriptionsPerJobMax);
        for (const vmId of vmIds) this.#owed.delete(vmId);
        const descriptions = vmIds.flatMap((vmId) => this.#describe(vmId) ?? []);
        if (descriptions.length > 0) await this.#parts.host.describeVms(descriptions);
      }
      return true;
    } catch (error) {
      for (const vmId of due) this.#owed.add(vmId);
      this.#parts.log.warn({ err: error }, 'VMs could not be described in their run directories');
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
