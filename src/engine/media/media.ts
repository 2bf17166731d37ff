// engine: images for VMs: found on the host or downloaded, checked, and made into the disks of a VM. What
// a VM was made of before is taken again as long as its config asks for the same.

import { type Config, LIMITS } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import { withoutSecrets } from '../../lib/image-location.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type {
  BootFile,
  DiskImage,
  HeldMedia,
  KnownImages,
  MediaFacts,
  ProvidedDisk,
  RecalledImage,
} from '../media-ports.ts';
import type { DiskSpec, HostPort } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import type { Turn } from '../vms/operations.ts';
import { readSeed, type SeedDocuments, seedFiles } from './cloud-init.ts';
import { areSameOverlays, madeOverlays, overlaysWith } from './kept-overlays.ts';
import { type MediaEventParts, progressTeller, tellMedia } from './media-events.ts';
import { locationOf, type MediaPlan, type MediaSource, type PlannedDisk } from './media-plan.ts';

/** By it a guest that does not look for the label finds the seed; no disk of a manifest may be called so. */
const SEED_SERIAL = 'seed';

/** What a hypervisor is given. */
export interface BootMedia {
  readonly initramfsPath: string | null;
  readonly disks: readonly DiskSpec[];
}

/** What a launch needs of this host's files. */
export interface LocatedMedia {
  /** null where the daemon's own kernel is meant. */
  readonly kernelPath: string | null;
  /** null while it is to be downloaded. */
  readonly initramfsPath: string | null;
  /** The images that are here, by what they are for. */
  readonly images: ReadonlyMap<MediaUse, MediaFacts>;
  /** null for a VM without cloud-init. */
  readonly seed: SeedDocuments | null;
}

/** The field that names an image: one image may be named twice with two checksums, and each counts. */
type MediaUse = MediaSource['field'];

interface Use {
  readonly source: MediaSource;
  /** null for a disk. */
  readonly kind: BootFile | null;
  /** What it was made of before, if that is still here. */
  readonly known: RecalledImage | null;
}

const NOTHING_KNOWN: KnownImages = { initramfs: null, disks: new Map() };

export interface MediaParts extends MediaEventParts {
  readonly config: Pick<Config, 'bootInitramfs'>;
  readonly host: HostPort;
}

export class Media {
  readonly #parts: MediaParts;

  constructor(parts: MediaParts) {
    this.#parts = parts;
  }

  /**
   * The images of a plan that are here, and the documents of its seed. Those of the network are here when
   * the VM was made of them before: no server is asked then. MEDIA_NOT_ALLOWED, MEDIA_INVALID,
   * MEDIA_CHECKSUM_MISMATCH, with every field that is wrong.
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

  /** A file that the VM was made of before, and has not changed since, was checked then. */
  async #inspect({ source, known, kind }: Use): Promise<MediaFacts> {
    const { location, checksum, field } = source;
    const inspect = (wanted: string | null) =>
      inField(field, this.#parts.host.inspectMedia(location, wanted, kind ?? undefined));
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
   * Gets what is not here, and makes the disks of a VM that it does not have yet. Others have the turn's
   * place while a download is waited for. MEDIA_INVALID for a disk whose overlay has been lost, and as `locate`.
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
      // The VM's disks are noted now: by them the cache knows what is in use.
      for (const { release } of held) release();
    }
  }

  async #provideDisks(
    record: VmRecord,
    plan: MediaPlan,
    found: (source: MediaSource) => string,
  ): Promise<readonly DiskSpec[]> {
    const { disks, initramfs } = plan;
    // An initramfs of the network is noted, so that a start finds it without its server.
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

  /** Before a guest can write to them: one that a record names and that is not there has been lost. */
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

  /** Made again for each launch: its config may have changed. */
  async #makeSeed(record: VmRecord, documents: SeedDocuments | null): Promise<readonly DiskSpec[]> {
    if (documents === null) return [];
    const path = await this.#parts.host.writeSeed(record.id, seedFiles(documents, record));
    return [{ path, basePath: null, format: 'raw', readonly: true, serial: SEED_SERIAL }];
  }

  /** What the guest wrote is lost. */
  removeDisks(vmId: number): Promise<void> {
    return this.#parts.host.removeDisks(vmId);
  }

  /** Every image of a plan, with what the VM has for it already. */
  #usesOf(plan: MediaPlan, known: KnownImages): readonly Use[] {
    const initramfs = this.#initramfsOf(plan);
    return [
      { source: initramfs, kind: 'initramfs', known: ifSame(initramfs, known.initramfs) },
      ...plan.disks.map(({ name, source }) => ({
        source,
        kind: null,
        known: ifSame(source, known.disks.get(name) ?? null),
      })),
    ];
  }

  /** A VM without an initramfs boots from a disk: the daemon's own leads there. */
  #initramfsOf({ initramfs }: MediaPlan): MediaSource {
    const location = this.#parts.config.bootInitramfs;
    return initramfs ?? { field: 'initramfs.url', location, isRemote: false, checksum: null };
  }

  async #fetch(record: VmRecord, source: MediaSource, turn: Turn): Promise<HeldMedia> {
    const { location, checksum, field } = source;
    const tell = progressTeller(this.#parts, record, location);
    let told = false;
    try {
      const held = await turn.wait((signal) =>
        this.#parts.host.fetchMedium(
          location,
          checksum,
          (progress) => {
            told = true;
            tell(progress);
          },
          signal,
        ),
      );
      if (told) tellMedia(this.#parts, record, 'MEDIA_READY', withoutSecrets(location));
      return held;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      tellMedia(this.#parts, record, 'MEDIA_FAILED', why);
      throw withField(error, field);
    }
  }
}

/** What shows only when it is here: it must fit into the memory, and for some kernels have another name. */
function checkInitramfs(plan: MediaPlan, initramfs: MediaFacts | undefined): void {
  if (initramfs === undefined) return;
  refuseModuleList(plan, initramfs.realPath);
  const { memoryBytes } = plan;
  if (initramfs.sizeBytes < memoryBytes) return;
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const sizes = `has ${mebibytes(initramfs.sizeBytes)}, and the VM ${mebibytes(memoryBytes)} of memory`;
  const why = `${sizes}: give it more memory, or put the system on a root disk`;
  throw new VolantError('MEDIA_INVALID', `The initramfs ${why}`, {
    details: { 'initramfs.url': why },
  });
}

/**
 * For a kernel with a multiboot header QEMU reads `-initrd` as a list of modules: behind a comma begins the name of
 * another file. Only a kernel that a client named can be such a one.
 */
function refuseModuleList({ kernelPath }: MediaPlan, initramfsPath: string): void {
  if (kernelPath === null || !initramfsPath.includes(',')) return;
  const why = 'beside kernel_override the path of an initramfs must be without a comma';
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

/** What goes wrong is said to be about this field. */
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

/** As Promise.all, but what is wrong with images is waited for and told all at once. */
async function allOrDetails<const T extends readonly unknown[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(work);
  const wrong = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  const ofMedia = wrong.filter(isAboutMedia);
  const [first] = ofMedia;
  // Something else is wrong with the host, or nothing at all.
  if (first === undefined || ofMedia.length < wrong.length) return await Promise.all(work);
  const details = Object.assign({}, ...ofMedia.map((error) => error.details));
  throw new VolantError(first.code, first.message, { details, cause: first });
}
