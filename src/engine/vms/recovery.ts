// engine, vms: the start of a daemon. Every VM is looked at and then looked after like any other: a start has no way of
// its own to bring anything to its end.

import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';
import type { Devices } from '../devices/devices.ts';
import { exposedPortsOf } from '../exposures/exposed-ports.ts';
import type { Exposures } from '../exposures/exposures.ts';
import type { HostFacts } from '../host-facts.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { Snapshot } from '../store-ports.ts';
import type { RecoveryReport } from '../system-api.ts';
import type { VmsRoom } from './room.ts';

export interface RecoveryParts {
  readonly state: State;
  readonly room: VmsRoom;
  readonly hostFacts: HostFacts;
  readonly exposures: Exposures;
  readonly devices: Devices;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Recovery {
  readonly #parts: RecoveryParts;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when every VM was looked at and the ends of those that are gone are written down; what takes longer, such as
   * a stop that was cut off, goes on. Host ports and the filter of the bridge are as the records say.
   */
  async run({ vms, lastVmId }: Pick<Snapshot, 'vms' | 'lastVmId'>): Promise<RecoveryReport> {
    const { state, room, devices, exposures, clock, log } = this.#parts;
    const startedMs = clock.monotonicMs();
    const records = state.vms.records();
    const ports = exposures.restore(records.flatMap((record) => this.#portsOf(record)));
    const looked = records.map(({ id }) => this.#looked(id));
    for (const { id } of records) room.executor.wake(id);
    await Promise.all(looked);
    await this.#sweep(lastVmId);
    await ports;
    const report: RecoveryReport = {
      ...room.hostLook.counts,
      durationMs: Math.round(clock.monotonicMs() - startedMs),
    };
    log.info({ ...report }, 'recovery done');
    // One whose VM holds nothing of the host has no use for it either.
    await devices.sweep((vmId) => state.find(vmId)?.observed.isReleased === false);
    if (vms.length > 0) await this.#restoreNetwork(vms);
    await this.#resumePorts(vms.length > 0);
    return report;
  }

  /** What is not removed now is found by the next audit. */
  async #sweep(lastVmId: number): Promise<void> {
    try {
      await this.#parts.room.hostLook.sweep(lastVmId);
    } catch (error) {
      this.#parts.log.error({ err: error }, 'what no VM owns could not be removed yet');
    }
  }

  /** Rules about guests that ended meanwhile are still in the kernel, those of living ones may be lost. */
  async #restoreNetwork(vms: readonly VmRecord[]): Promise<void> {
    const { hostFacts, log } = this.#parts;
    try {
      if (vms.some(({ leases }) => leases.tapName !== null)) await hostFacts.ensureNetwork();
    } catch (error) {
      log.error({ err: error }, "the guests' network could not be restored");
    }
  }

  async #resumePorts(mayDiffer: boolean): Promise<void> {
    const { exposures, log } = this.#parts;
    try {
      await exposures.resume(mayDiffer);
    } catch (error) {
      log.error({ err: error }, 'host ports could not be restored');
    }
  }

  /** Its end, if it has ended, is not waited for longer than its neighbours can bear. */
  async #looked(vmId: number): Promise<void> {
    const { room, log } = this.#parts;
    const { executor, live } = room;
    const reached = executor.until(vmId, (record) => {
      if (record === undefined) return true;
      if (!live.of(vmId).isKnown) return false;
      return record.process === null || live.runningVm(vmId) !== undefined;
    });
    try {
      await within(reached, LIMITS.recoveryWaitMs);
    } catch (error) {
      log.error({ id: vmId, err: error }, 'VM could not be recovered yet');
    }
  }

  /** Ports of a VM that may be alive, and is not on its way out. */
  #portsOf(record: VmRecord) {
    if (!['running', 'starting'].includes(record.status)) return [];
    const stored = this.#parts.state.store.config(record.id, record.configVersion);
    return stored === undefined
      ? []
      : [{ record, ports: exposedPortsOf(stored.config, record.replica) }];
  }
}
