// engine, vms: the order in which a launch makes things, and in which they are given back. What is written down about
// it is not known here.

import { allDone } from '../../lib/all-done.ts';
import type { Boots } from '../boots/boots.ts';
import type { Exposures } from '../exposures/exposures.ts';
import type { Media } from '../media/media.ts';
import type { Cause, VmRecord } from '../records.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { LaunchDraft } from './launch-planner.ts';
import type { RunningVm } from './live.ts';
import type { Turn } from './operations.ts';

/** Devices that a launch needs. */
export interface DevicesDemand {
  readonly addresses: readonly string[];
  readonly allowlist: readonly string[];
  readonly cause: Cause | undefined;
}

/** Devices of the host, taken for a VM and given back. */
export interface DeviceOwners {
  /** All or none. An empty allowlist allows what the operator does. */
  takeFor(vmId: number, demand: DevicesDemand): Promise<void>;
  /** What the VM has, if anything. What cannot be given back stays recorded. */
  releaseFor(vmId: number, cause: Cause | undefined): Promise<void>;
}

export interface LauncherParts {
  readonly devices: DeviceOwners;
  readonly media: Media;
  readonly exposures: Exposures;
  readonly boots: Boots;
  readonly hypervisors: Hypervisors;
}

export class Launcher {
  readonly #parts: LauncherParts;

  constructor(parts: LauncherParts) {
    this.#parts = parts;
  }

  /**
   * Makes all that a VM needs and resolves when its control socket answered. `onProcess` gets the process as soon as there
   * is one. What was made before something went wrong stays, for `release`.
   */
  async launch(
    record: VmRecord,
    draft: LaunchDraft,
    turn: Turn,
    onProcess: (vm: RunningVm) => void,
  ): Promise<void> {
    const { devices, media, exposures, boots, hypervisors } = this.#parts;
    const { resolved, preparation } = draft;
    await devices.takeFor(record.id, {
      addresses: resolved.spec.pciDevices,
      allowlist: resolved.deviceAllowlist,
      cause: record.wanted.cause,
    });
    const bootMedia = await media.provide(record, resolved.media, preparation.located, turn);
    await exposures.set(record, resolved.exposedPorts);
    await boots.enter(record.id, preparation.facts, turn);
    const vm = await hypervisors.launch(record, draft, bootMedia);
    onProcess(vm);
    await hypervisors.connect(record, vm, resolved);
  }

  /**
   * Gives back what a launch took; files only where nothing of the VM is wanted. Its process must be gone. What is not
   * there is fine. Nothing of it is under way any more when this settles.
   */
  async release(record: VmRecord, vm: RunningVm | null): Promise<void> {
    const { devices, exposures, boots, hypervisors } = this.#parts;
    vm?.control.close();
    vm?.agent?.close();
    boots.leave(record.id);
    // Before the tap: a port that still led here would keep connections that are forgotten with the tap.
    await exposures.clear(record.id);
    // The kernel makes each of these wait, and none needs another.
    await allDone([
      hypervisors.release(record),
      devices.releaseFor(record.id, record.wanted.cause),
      record.wanted.state === 'deleted' ? this.removeFiles(record) : undefined,
    ]);
  }

  /** Removes what outlives a stop: logs, sockets and disks. */
  async removeFiles({ id }: VmRecord): Promise<void> {
    const { hypervisors, media } = this.#parts;
    await Promise.all([hypervisors.removeRunDirectory(id), media.removeDisks(id)]);
  }
}
