// engine, media: provides the images of VMs: finds or downloads them, checks them, and makes the disks of a VM from
// them. Images that a VM was made from before are used again as long as its config names the same ones.

import { LIMITS } from '../../config/limits.ts';
import type { Config } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import { withoutSecrets } from '../../lib/formats/image-location.ts';
import type { Turn } from '../../lib/queues/turn.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { DiskSpec } from '../ports/hypervisor-ports.ts';
import type {
  DiskImage,
  HeldMedia,
  KnownImages,
  MediaFacts,
  MediaHost,
  MediaKind,
  MediaProgress,
  ProvidedDisk,
  RecalledImage,
} from '../ports/media-ports.ts';
import type { VmRecord } from '../records.ts';
import { readSeed, type SeedDocuments, seedField, seedFiles } from './cloud-init.ts';
import { areSameOverlays, madeOverlays, overlaysWith } from './kept-overlays.ts';
import { emitMediaEvent, type MediaEventParts, progressReporter } from './media-events.ts';
import { locationOf, type MediaPlan, type MediaSource, type PlannedDisk } from './media-plan.ts';

/** A guest that does not search by label finds the seed by this serial; manifests cannot use it. */
const SEED_SERIAL = 'seed';

/** The files and disks of a launch. */
export interface BootMedia {
  readonly initramfsPath: string | null;
  readonly disks: readonly DiskSpec[];
}

/** The files of the host that a launch needs. */
export interface LocatedMedia {
  /** null: the daemon's default kernel. */
  readonly kernelPath: string | null;
  /** null if it has to be downloaded. */
  readonly initramfsPath: string | null;
  /** The images on this host, by the field that names each. */
  readonly images: ReadonlyMap<MediaUse, MediaFacts>;
  /** null for a VM without cloud-init. */
  readonly seed: SeedDocuments | null;
}

/** The field that names an image. One image may be named twice with two checksums, and each must match. */
type MediaUse = MediaSource['field'];

interface Use {
  readonly source: MediaSource;
  readonly kind: MediaKind;
  /** null for a disk. */
  readonly known: RecalledImage | null;
}

const NOTHING_KNOWN: KnownImages = { initramfs: null, disks: new Map() };

export interface MediaParts extends MediaEventParts {
  readonly config: Pick<Config, 'bootInitramfs'>;
  readonly host: MediaHost;
}

export class Media {
  readonly #parts: MediaParts;

  constructor(parts: MediaParts) {
    this.#parts = parts;
  }

  /**
   * Locates the images of a plan that are on this host, and reads the documents of its seed. A remote image that the VM
   * was made from before is on this host, so no server is asked. Throws MEDIA_NOT_ALLOWED, MEDIA_INVALID or
   * MEDIA_CHECKSUM_MISMATCH with every field that is wrong.
   */
  async locate(plan: MediaPlan, vmId: number | null): Promise<LocatedMedia> {
    const { host } = this.#parts;
    const known = vmId === null ? NOTHING_KNOWN : await host.recallImages(vmId);
    const { kernelPath } = plan;
    const images = new Map<MediaUse, MediaFacts>();
    const local = this.#usesOf(plan, known).map(async (use) => {
      const { field, isRemote } = use.source;
      const image = isRemote ? factsOf(use.known) : await this.#inspect(use);
      if (image !== null) images.set(field, image);
    });
    const [kernel, seed] = await allOrDetails([
      kernelPath && inField('kernel_override', host.inspectMedia(kernelPath, null, 'kernel')),
      plan.seed &&
        readSeed(plan.seed, (url, field) => inField(field, this.#readDocument(field, url))),
      ...local,
    ] as const);
    const initramfs = images.get(this.#initramfsOf(plan).field);
    checkInitramfs(plan, initramfs);
    return {
      kernelPath: kernel ? kernel.realPath : null,
      initramfsPath: initramfs?.realPath ?? null,
      images,
      seed: seed ?? null,
    };
  }

  /**
   * Checks a plan as `locate` does, without asking a server or computing a checksum. Throws its errors, unless all of
   * them are missing files, which may be added before a launch: returns a message for each, by field.
   */
  async require(plan: MediaPlan): Promise<Readonly<Record<string, string>>> {
    const unchecked = <T extends MediaSource | null>(source: T): T =>
      source && { ...source, checksum: null };
    const disks = plan.disks.map((disk) => ({ ...disk, source: unchecked(disk.source) }));
    try {
      await this.locate({ ...plan, initramfs: unchecked(plan.initramfs), disks }, null);
      return {};
    } catch (error) {
      if (!isAboutMedia(error)) throw error;
      const { details = {} } = error;
      const places = this.#placesOf(plan);
      for (const field of Object.keys(details)) {
        const path = places.get(field);
        if (path === undefined || !(await this.#parts.host.isMissing(path))) throw error;
      }
      return details;
    }
  }

  /** The paths of the files on this host, by the field that names each. */
  #placesOf(plan: MediaPlan): ReadonlyMap<string, string> {
    const { kernelPath, seed } = plan;
    const images = this.#usesOf(plan, NOTHING_KNOWN)
      .filter(({ source }) => !source.isRemote)
      .map(({ source }) => [source.field, source.location] as const);
    const documents = Object.entries(seed ?? {}).flatMap(([name, source]) => {
      const field = seedField(name);
      return source?.kind === 'file'
        ? [[field, locationOf(field, source.url).location] as const]
        : [];
    });
    const kernel = kernelPath === null ? [] : [['kernel_override', kernelPath] as const];
    return new Map([...images, ...documents, ...kernel]);
  }

  /**
   * Checks a local file. The checksum is skipped if the VM was made from this file before and it has not changed since.
   */
  async #inspect({ source, known, kind }: Use): Promise<MediaFacts> {
    const { location, checksum, field } = source;
    const inspect = (wanted: string | null) =>
      inField(field, this.#parts.host.inspectMedia(location, wanted, kind));
    const found = await inspect(known === null ? checksum : null);
    if (known !== null && known.path !== found.realPath) await inspect(checksum);
    return found;
  }

  async #readDocument(field: string, url: string): Promise<Uint8Array> {
    try {
      return await this.#parts.host.readDocument(locationOf(field, url).location);
    } catch (error) {
      if (!(error instanceof VolantError) || error.code !== 'DOCUMENT_NOT_FOUND') throw error;
      throw new VolantError('MEDIA_INVALID', error.message, { cause: error });
    }
  }

  /**
   * Downloads missing images and makes the disks that the VM does not have yet. During a download, the turn's share of
   * the budget is given to other VMs. Throws MEDIA_INVALID for a disk whose overlay is lost, and what `locate` throws.
   */
  async provide(
    record: VmRecord,
    plan: MediaPlan,
    located: LocatedMedia,
    turn: Turn,
  ): Promise<BootMedia> {
    const held: HeldMedia[] = [];
    try {
      const images = new Map(located.images);
      for (const { source } of this.#usesOf(plan, NOTHING_KNOWN)) {
        if (images.has(source.field)) continue;
        const fetched = await this.#fetch(record, source, turn);
        held.push(fetched);
        images.set(source.field, fetched);
      }
      checkInitramfs(plan, images.get(this.#initramfsOf(plan).field));
      const found = ({ field, location }: MediaSource) => images.get(field)?.realPath ?? location;
      const disks = [
        ...(await this.#provideDisks(record, plan, found)),
        ...(await this.#makeSeed(record, located.seed)),
      ];
      return { initramfsPath: found(this.#initramfsOf(plan)), disks };
    } finally {
      // The VM's disks are recorded by now, so the cache knows that their images are in use.
      for (const { release } of held) release();
    }
  }

  async #provideDisks(
    record: VmRecord,
    plan: MediaPlan,
    found: (source: MediaSource) => string,
  ): Promise<readonly DiskSpec[]> {
    const { disks, initramfs } = plan;
    // A downloaded initramfs is recorded, so that a start finds it without its server.
    const noted = initramfs?.isRemote
      ? { reference: referenceOf(initramfs), path: found(initramfs) }
      : null;
    if (disks.length === 0 && noted === null) return [];
    const made = madeOverlays(record, plan, () => this.#configsOf(record.id));
    const images = disks.map((disk): DiskImage => {
      const { name, source, format, fileSystem, isRoot, readonly } = disk;
      const image = { name, field: source.field, format, fileSystem, isRoot, readonly };
      const reference = referenceOf(source);
      return { ...image, reference, path: found(source), made: made.get(name) ?? null };
    });
    const provided = await this.#parts.host.provideDisks(record.id, images, noted);
    await this.#noteOverlays(record.id, disks, provided);
    return disks.map(({ serial, readonly }, index) => {
      const disk = provided[index];
      if (disk === undefined) throw new VolantError('INTERNAL', 'A disk was not provided');
      const { path, format, basePath } = disk;
      return { path, format, basePath, readonly, serial };
    });
  }

  #configsOf(vmId: number): readonly VmConfig[] {
    const configs = this.#parts.state.store.configs(vmId, LIMITS.configVersionsMax);
    return configs.map(({ config }) => config);
  }

  /** Records the overlays before a guest can write to them. A recorded overlay that is missing later is lost. */
  async #noteOverlays(
    vmId: number,
    disks: readonly PlannedDisk[],
    provided: readonly ProvidedDisk[],
  ): Promise<void> {
    await this.#parts.state.update(vmId, (record) => {
      const before = record.overlays ?? [];
      const overlays = overlaysWith(before, disks, provided);
      if (areSameOverlays(before, overlays)) return null;
      return { record: { ...record, overlays }, events: [] };
    });
  }

  /** The seed is made for each launch, because the config may have changed. */
  async #makeSeed(record: VmRecord, documents: SeedDocuments | null): Promise<readonly DiskSpec[]> {
    if (documents === null) return [];
    const path = await this.#parts.host.writeSeed(record.id, seedFiles(documents, record));
    return [{ path, basePath: null, format: 'raw', readonly: true, serial: SEED_SERIAL }];
  }

  /** Removes the disks of a VM with everything that the guest wrote. */
  removeDisks(vmId: number): Promise<void> {
    return this.#parts.host.removeDisks(vmId);
  }

  /** Every image of a plan, with what the VM has of it already. */
  #usesOf(plan: MediaPlan, known: KnownImages): readonly Use[] {
    const initramfs = this.#initramfsOf(plan);
    return [
      { source: initramfs, kind: 'initramfs', known: ifSame(initramfs, known.initramfs) },
      ...plan.disks.map(({ name, source, format, fileSystem, isRoot }) => ({
        source,
        kind: { format, fileSystem, isRoot },
        known: ifSame(source, known.disks.get(name) ?? null),
      })),
    ];
  }

  /** A VM without an initramfs of its own gets the daemon's, which mounts the root disk. */
  #initramfsOf({ initramfs }: MediaPlan): MediaSource {
    const location = this.#parts.config.bootInitramfs;
    return initramfs ?? { field: 'initramfs.url', location, isRemote: false, checksum: null };
  }

  async #fetch(record: VmRecord, source: MediaSource, turn: Turn): Promise<HeldMedia> {
    const { location, field } = source;
    const report = progressReporter(this.#parts, record, location);
    let reported = false;
    try {
      const onProgress = (progress: MediaProgress) => {
        reported = true;
        report(progress);
      };
      const held = await turn.wait((signal) => this.#fetchShared(source, onProgress, signal));
      if (reported) emitMediaEvent(this.#parts, record, 'MEDIA_READY', withoutSecrets(location));
      return held;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      emitMediaEvent(this.#parts, record, 'MEDIA_FAILED', why);
      throw withField(error, field);
    }
  }

  #fetchShared(
    { location, checksum, isContainerImage }: MediaSource,
    onProgress: (progress: MediaProgress) => void,
    signal: AbortSignal,
  ): Promise<HeldMedia> {
    const { host } = this.#parts;
    if (!isContainerImage) return host.fetchMedium(location, checksum, onProgress, signal);
    const request = { image: location, digest: checksum, refresh: false };
    return host.fetchImage(request, onProgress, signal);
  }
}

/**
 * Checks that are possible only when the file is here: it must fit into the memory, and some kernels restrict its path.
 */
function checkInitramfs(plan: MediaPlan, initramfs: MediaFacts | undefined): void {
  if (initramfs === undefined) return;
  refuseModuleList(plan, initramfs.realPath);
  const { memoryBytes } = plan;
  if (initramfs.sizeBytes < memoryBytes) return;
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const sizes = `has ${mebibytes(initramfs.sizeBytes)}, but the VM has ${mebibytes(memoryBytes)} of memory`;
  const why = `${sizes}: give it more memory, or put the system on a root disk`;
  throw new VolantError('MEDIA_INVALID', `The initramfs ${why}`, {
    details: { 'initramfs.url': why },
  });
}

/**
 * For a kernel with a multiboot header, QEMU reads `-initrd` as a list of modules separated by commas, so a comma would
 * name another file. Only a kernel named by a client can have such a header.
 */
function refuseModuleList({ kernelPath }: MediaPlan, initramfsPath: string): void {
  if (kernelPath === null || !initramfsPath.includes(',')) return;
  const why = 'with kernel_override, the path of the initramfs must not have a comma';
  throw new VolantError('MEDIA_INVALID', why, { details: { 'initramfs.url': why } });
}

function referenceOf({ location, checksum }: MediaSource) {
  return { location, checksum };
}

function factsOf(known: RecalledImage | null): MediaFacts | null {
  return known && { realPath: known.path, sizeBytes: known.sizeBytes };
}

function ifSame(source: MediaSource, known: RecalledImage | null): RecalledImage | null {
  const isSame =
    known?.reference.location === source.location && known.reference.checksum === source.checksum;
  return isSame ? known : null;
}

/** Adds the field to errors about media. */
async function inField<T>(field: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw withField(error, field);
  }
}

function withField(thrown: unknown, field: string): unknown {
  if (!isAboutMedia(thrown)) return thrown;
  const { code, message, details, cause } = thrown;
  return new VolantError(code, message, { details: { [field]: message, ...details }, cause });
}

function isAboutMedia(thrown: unknown): thrown is VolantError {
  if (!(thrown instanceof VolantError)) return false;
  return thrown.code.startsWith('MEDIA_') || thrown.code === 'DISK_SPACE_LOW';
}

/** As Promise.all, but waits for all, and joins the details of all errors about media. */
async function allOrDetails<const T extends readonly unknown[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(work);
  const wrong = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  const ofMedia = wrong.filter(isAboutMedia);
  const [first] = ofMedia;
  // Without errors, or with one that is not about media, Promise.all gives the result.
  if (first === undefined || ofMedia.length < wrong.length) return await Promise.all(work);
  const details = Object.assign({}, ...ofMedia.map((error) => error.details));
  throw new VolantError(first.code, first.message, { details, cause: first });
}
