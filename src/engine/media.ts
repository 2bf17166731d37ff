// engine: images for VMs: found on the host or downloaded, checked, and made into the disks of a VM.
// What takes long is told as events.

import type { Config } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { otherEvent } from './events.ts';
import type { MediaPlan, MediaSource } from './media-plan.ts';
import type { DiskSpec, HostPort, MediaProgress } from './ports.ts';
import type { VmRecord } from './records.ts';
import type { State } from './state.ts';

/** Downloads are told of when they have come so much further, in percent, or after so long. */
const PROGRESS_STEP_PERCENT = 10;
const PROGRESS_STEP_MS = 5_000;
const MEBIBYTE = 2 ** 20;

/** What a hypervisor is given. */
export interface BootMedia {
  readonly initramfsPath: string | null;
  readonly disks: readonly DiskSpec[];
}

/** Where the images of this host are, by the location that their owner named. */
export type LocalPaths = ReadonlyMap<string, string>;

export interface MediaParts {
  readonly config: Pick<Config, 'bootInitramfs'>;
  readonly host: HostPort;
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Media {
  readonly #parts: MediaParts;

  constructor(parts: MediaParts) {
    this.#parts = parts;
  }

  /** The images of a plan that are files of this host. MEDIA_NOT_ALLOWED, MEDIA_INVALID, MEDIA_CHECKSUM_MISMATCH. */
  async locate(plan: MediaPlan): Promise<LocalPaths> {
    const local = this.#sourcesOf(plan).filter(({ isRemote }) => !isRemote);
    const found = await Promise.all(
      local.map(async ({ location, checksum }): Promise<[string, string]> => {
        const { realPath } = await this.#parts.host.inspectMedia(location, checksum);
        return [location, realPath];
      }),
    );
    return new Map(found);
  }

  /** Gets what is not here, and makes the disks of a VM that it does not have yet. */
  async provide(record: VmRecord, plan: MediaPlan, local: LocalPaths): Promise<BootMedia> {
    const paths = new Map(local);
    for (const source of this.#sourcesOf(plan)) {
      if (paths.has(source.location)) continue;
      paths.set(source.location, await this.#fetch(record, source));
    }
    const pathOf = ({ location }: MediaSource) => paths.get(location) ?? location;
    const initramfsPath = pathOf(this.#initramfsOf(plan));
    if (plan.disks.length === 0) return { initramfsPath, disks: [] };
    const images = plan.disks.map(({ name, source, format, readonly }) => ({
      name,
      path: pathOf(source),
      format,
      readonly,
    }));
    const disks = await this.#parts.host.provideDisks(record.id, images);
    return {
      initramfsPath,
      disks: plan.disks.map(({ serial, readonly }, index) => {
        const { path, format } = disks[index] ?? { path: '', format: 'raw' as const };
        return { path, format, readonly, serial };
      }),
    };
  }

  /** What the guest wrote is lost. */
  removeDisks(vmId: number): Promise<void> {
    return this.#parts.host.removeDisks(vmId);
  }

  #sourcesOf(plan: MediaPlan): readonly MediaSource[] {
    return [this.#initramfsOf(plan), ...plan.disks.map(({ source }) => source)];
  }

  /** A VM without an initramfs boots from a disk: the daemon's own leads there. */
  #initramfsOf({ initramfs }: MediaPlan): MediaSource {
    const { bootInitramfs } = this.#parts.config;
    return initramfs ?? { location: bootInitramfs, isRemote: false, checksum: null };
  }

  async #fetch(record: VmRecord, { location, checksum }: MediaSource): Promise<string> {
    const tell = this.#reporter(record, location);
    let told = false;
    try {
      const { realPath } = await this.#parts.host.fetchMedium(location, checksum, (progress) => {
        told = true;
        tell(progress);
      });
      if (told) this.#tell(record, 'MEDIA_READY', location);
      return realPath;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#tell(record, 'MEDIA_FAILED', why);
      throw error;
    }
  }

  #reporter(record: VmRecord, location: string): (progress: MediaProgress) => void {
    let percentTold = Number.NEGATIVE_INFINITY;
    let toldAtMs = Number.NEGATIVE_INFINITY;
    return ({ receivedBytes, totalBytes }) => {
      const nowMs = this.#parts.clock.monotonicMs();
      const percent = totalBytes === null ? 0 : (100 * receivedBytes) / Math.max(1, totalBytes);
      const isNews =
        percent - percentTold >= PROGRESS_STEP_PERCENT || nowMs - toldAtMs >= PROGRESS_STEP_MS;
      if (!isNews) return;
      percentTold = percent;
      toldAtMs = nowMs;
      const received = (receivedBytes / MEBIBYTE).toFixed(1);
      const total = totalBytes === null ? '' : ` of ${(totalBytes / MEBIBYTE).toFixed(1)}`;
      this.#tell(record, 'MEDIA_DOWNLOADING', `${location}: ${received}${total} MiB`);
    };
  }

  /** An event that cannot be written is no reason to stop a download. */
  #tell(
    { name, status, replica }: VmRecord,
    type: 'MEDIA_DOWNLOADING' | 'MEDIA_READY' | 'MEDIA_FAILED',
    message: string,
  ): void {
    const { state, clock, log } = this.#parts;
    const deployment = replica === undefined ? {} : { deployment: replica.deployment };
    const event = otherEvent(type, { name, status, ...deployment }, clock.nowMs(), message);
    state.commit([], [event]).catch((error: unknown) => {
      log.warn({ vm: name, err: error }, 'an event could not be written');
    });
  }
}
