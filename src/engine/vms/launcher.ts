// engine, vms: the order in which a launch makes things, and the order in which they are released. Nothing is stored
// here.

import { allDone } from '../../lib/all-done.ts';
import type { Turn } from '../../lib/queues/turn.ts';
import type { Boots } from '../boots/boots.ts';
import type { DeviceOwners } from '../devices/device-owners.ts';
import type { Media } from '../media/media.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import type { VmRecord } from '../records.ts';
import type { LaunchDraft } from './launch/launch-planner.ts';
import type { Hypervisors } from './processes/hypervisors.ts';
import type { RunningVm } from './processes/live.ts';

export interface LauncherParts {
  readonly devices: DeviceOwners;
  readonly media: Media;
  readonly publisher: PortPublisher;
  readonly boots: Boots;
  readonly hypervisors: Hypervisors;
}

export class Launcher {
  readonly #parts: LauncherParts;

  constructor(parts: LauncherParts) {
    this.#parts = parts;
  }

  /**
   * Makes everything that a VM needs and resolves when its control socket answers. `onProcess` gets the process as soon
   * as it exists. What was made before an error stays; `release` removes it.
   */
  async launch(
    record: VmRecord,
    draft: LaunchDraft,
    turn: Turn,
    onProcess: (vm: RunningVm) => void,
  ): Promise<void> {
    const { devices, media, publisher, boots, hypervisors } = this.#parts;
    const { resolved, preparation } = draft;
    await devices.takeFor(record.id, {
      addresses: resolved.spec.pciDevices,
      allowlist: resolved.deviceAllowlist,
      cause: record.wanted.cause,
    });
    const bootMedia = await media.provide(record, resolved.media, preparation.located, turn);
    await publisher.set(record, resolved.publishedPorts);
    await boots.enter(record.id, preparation.facts, turn);
    const vm = await hypervisors.launch(record, draft, bootMedia);
    onProcess(vm);
    await hypervisors.connect(record, vm, resolved);
  }

  /**
   * Releases what a launch made. Files are removed only if the VM is deleted. Call it after the process is gone. What
   * does not exist is skipped. Nothing is in progress any more when this settles.
   */
  async release(record: VmRecord, vm: RunningVm | null): Promise<void> {
    const { devices, publisher, boots, hypervisors } = this.#parts;
    vm?.control.close();
    vm?.agent?.close();
    boots.leave(record.id);
    // Ports go before the tap: a port that still led here would keep connections that are forgotten with the tap.
    await publisher.clear(record.id);
    // The kernel is slow at each of these, and they are independent.
    await allDone([
      hypervisors.release(record),
      devices.releaseFor(record.id, record.wanted.cause),
      record.wanted.state === 'deleted' ? this.removeFiles(record) : undefined,
    ]);
  }

  /** Removes what outlives a stop: logs, sockets and disks. */
  async removeFiles({ id }: VmRecord): Promise<void> {
    const { hypervisors, media } = this.#parts;
    await allDone([hypervisors.removeRunDirectory(id), media.removeDisks(id)]);
  }
}
