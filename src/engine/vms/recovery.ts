// engine, vms: recovery, the start of a daemon. Every VM is inspected and then reconciled like any other. There is no
// separate logic for unfinished work.

import type { Limits } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Devices } from '../devices/devices.ts';
import type { HostFacts } from '../facts/host-facts.ts';
import type { Snapshot } from '../ports/store-ports.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import { publishedPortsOf } from '../published-ports/published-ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import type { RecoveryReport } from '../system-api.ts';
import type { Hypervisors } from './processes/hypervisors.ts';
import type { VmSubsystem } from './vm-subsystem.ts';

export interface RecoveryParts {
  readonly state: State;
  readonly subsystem: VmSubsystem;
  readonly hypervisors: Pick<Hypervisors, 'connectAdopted'>;
  readonly hostFacts: HostFacts;
  readonly publisher: PortPublisher;
  readonly devices: Devices;
  readonly limits: Pick<Limits, 'recoveryWaitMs'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Recovery {
  readonly #parts: RecoveryParts;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when every VM was inspected and all missed ends are stored. Slower work, such as an interrupted stop,
   * continues in the background. Published ports and the bridge's filter then match the records.
   */
  async run({ lastVmId }: Pick<Snapshot, 'lastVmId'>): Promise<RecoveryReport> {
    const { state, subsystem, hypervisors, devices, publisher, clock, log } = this.#parts;
    const startedMs = clock.monotonicMs();
    const hadVms = state.vms.size > 0;
    const records = state.vms.active();
    const ports = publisher.restore(records.flatMap((record) => this.#portsOf(record)));
    const inspected = records.map(({ id }) => this.#inspected(id));
    for (const { id } of records) subsystem.executor.wake(id);
    try {
      await Promise.all([...inspected, this.#lookAtRest()]);
      await this.#sweep(lastVmId);
      await ports;
    } finally {
      void hypervisors.connectAdopted();
    }
    const report: RecoveryReport = {
      ...subsystem.hostInspection.counts,
      durationMs: Math.round(clock.monotonicMs() - startedMs),
    };
    log.info({ ...report }, 'recovery done');
    // A device whose VM has nothing left on the host is not needed.
    await devices.sweep((vmId) => state.find(vmId)?.observed.isReleased === false);
    if (hadVms) await this.#restoreNetwork();
    await this.#resumePorts(hadVms);
    return report;
  }

  /**
   * Of VMs at rest the host has nothing, so each is looked at when something is wanted of it. Only those are looked at now
   * of which it has something nevertheless.
   */
  async #lookAtRest(): Promise<void> {
    const { state, subsystem } = this.#parts;
    const left = (await subsystem.hostInspection.kernelOwners()).filter((vmId) =>
      state.vms.isAtRest(vmId),
    );
    const inspected = left.map((vmId) => this.#inspected(vmId));
    for (const vmId of left) subsystem.executor.wake(vmId);
    await Promise.all(inspected);
  }

  /** The next audit finds what could not be removed now. */
  async #sweep(lastVmId: number): Promise<void> {
    try {
      await this.#parts.subsystem.hostInspection.sweep(lastVmId);
    } catch (error) {
      this.#parts.log.error({ err: error }, 'things that no VM owns could not be removed');
    }
  }

  /** The kernel may still have rules of guests that ended, and may have lost rules of living ones. */
  async #restoreNetwork(): Promise<void> {
    const { state, hostFacts, log } = this.#parts;
    try {
      if (state.vms.hasTaps()) await hostFacts.ensureNetwork();
    } catch (error) {
      log.error({ err: error }, "the guests' network could not be restored");
    }
  }

  async #resumePorts(mayDiffer: boolean): Promise<void> {
    const { publisher, log } = this.#parts;
    try {
      await publisher.resume(mayDiffer);
    } catch (error) {
      log.error({ err: error }, 'published ports could not be restored');
    }
  }

  /**
   * Resolves when the VM was inspected and its end, if any, is stored, but waits at most LIMITS.recoveryWaitMs, so that
   * one VM does not delay the start of all.
   */
  async #inspected(vmId: number): Promise<void> {
    const { subsystem, limits, log } = this.#parts;
    const { executor, live } = subsystem;
    const reached = executor.until(vmId, (record) => {
      if (record === undefined) return true;
      if (!live.of(vmId).isKnown) return false;
      return record.process === null || live.runningVm(vmId) !== undefined;
    });
    try {
      await within(reached, limits.recoveryWaitMs);
    } catch (error) {
      log.error({ id: vmId, err: error }, 'VM could not be recovered yet');
    }
  }

  /** The published ports of a VM that may be alive and is not ending. */
  #portsOf(record: VmRecord) {
    if (!['running', 'starting'].includes(record.status)) return [];
    const stored = this.#parts.state.store.config(record.id, record.configVersion);
    return stored === undefined
      ? []
      : [{ record, ports: publishedPortsOf(stored.config, record.replica) }];
  }
}
