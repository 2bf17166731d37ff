// engine: images for VMs: found on the host or downloaded, checked, and made into the disks of a VM.
// What takes long is told as events.

import type { Config } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { readSeed, type SeedDocuments, seedFiles } from './cloud-init.ts';
import { otherEvent } from './events.ts';
import { locationOf, type MediaPlan, type MediaSource, type PlannedDisk } from './media-plan.ts';
import type { DiskSpec, HostPort, MediaProgress } from './ports.ts';
import type { VmRecord } from './records.ts';
import type { State } from './state.ts';

/** Downloads are told of when they have come so much further, in percent, or after so long. */
const PROGRESS_STEP_PERCENT = 10;
const PROGRESS_STEP_MS = 5_000;
const MEBIBYTE = 2 ** 20;

/** By it a guest that does not look for the label finds the seed; no disk of a manifest may be called so. */
const SEED_SERIAL = 'seed';

/** What a hypervisor is given. */
export interface BootMedia {
  readonly initramfsPath: string | null;
  readonly disks: readonly DiskSpec[];
}

/** What a launch needs of this host's files. */
export interface LocatedMedia {
  /** Where the images are, by the location that their owner named. */
  readonly paths: ReadonlyMap<string, string>;
  /** null for a VM without cloud-init. */
  readonly seed: SeedDocuments | null;
}

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

  /**
   * The images of a plan that are files of this host, and the documents of its seed. MEDIA_NOT_ALLOWED,
   * MEDIA_INVALID, MEDIA_CHECKSUM_MISMATCH.
   */
  async locate(plan: MediaPlan): Promise<LocatedMedia> {
    const { host } = this.#parts;
    const local = this.#sourcesOf(plan).filter(({ isRemote }) => !isRemote);
    const images = local.map(async ({ location, checksum }): Promise<[string, string]> => {
      const { realPath } = await host.inspectMedia(location, checksum);
      return [location, realPath];
    });
    const [found, seed] = await Promise.all([
      Promise.all(images),
      plan.seed && readSeed(plan.seed, (url) => this.#readDocument(locationOf(url).location)),
    ]);
    return { paths: new Map(found), seed };
  }

  async #readDocument(path: string): Promise<string> {
    try {
      return await this.#parts.host.readDocument(path);
    } catch (error) {
      if (!(error instanceof VolantError) || error.code !== 'DOCUMENT_NOT_FOUND') throw error;
      throw new VolantError('MEDIA_INVALID', error.message, { cause: error });
    }
  }

  /** Gets what is not here, and makes the disks of a VM that it does not have yet. */
  async provide(record: VmRecord, plan: MediaPlan, located: LocatedMedia): Promise<BootMedia> {
    const paths = new Map(located.paths);
    for (const source of this.#sourcesOf(plan)) {
      if (paths.has(source.location)) continue;
      paths.set(source.location, await this.#fetch(record, source));
    }
    const found = ({ location }: MediaSource) => paths.get(location) ?? location;
    const initramfsPath = found(this.#initramfsOf(plan));
    const disks = [
      ...(await this.#provideDisks(record.id, plan.disks, found)),
      ...(await this.#makeSeed(record, located.seed)),
    ];
    return { initramfsPath, disks };
  }

  async #provideDisks(
    vmId: number,
    planned: readonly PlannedDisk[],
    found: (source: MediaSource) => string,
  ): Promise<readonly DiskSpec[]> {
    if (planned.length === 0) return [];
    const images = planned.map(({ name, source, format, readonly }) => ({
      name,
      path: found(source),
      format,
      readonly,
    }));
    const provided = await this.#parts.host.provideDisks(vmId, images);
    return planned.map(({ serial, readonly }, index) => {
      const { path, format } = provided[index] ?? { path: '', format: 'raw' as const };
      return { path, format, readonly, serial };
    });
  }

  /** Made again for each launch: its config may have changed. */
  async #makeSeed(record: VmRecord, documents: SeedDocuments | null): Promise<readonly DiskSpec[]> {
    if (documents === null) return [];
    const path = await this.#parts.host.writeSeed(record.id, seedFiles(documents, record));
    return [{ path, format: 'raw', readonly: true, serial: SEED_SERIAL }];
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
    return (
      initramfs ?? {
        field: 'initramfs.url',
        location: bootInitramfs,
        isRemote: false,
        checksum: null,
      }
    );
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
