// jobs, images: the job that provides an image: pull, unpack, root disk, record. Everything is made in a directory of the
// job's own, and gets its name in the cache when it is whole and compared with its digests.

import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS, type Limits } from '../../../config/limits.ts';
import type { ImageFacts } from '../../../engine/ports/media-ports.ts';
import { type ImageReference, parseImageReference } from '../../../lib/formats/image-reference.ts';
import { errnoOf, JobFault } from '../fault.ts';
import { DiskReservation } from '../media/disk-space.ts';
import type { JobArgument } from '../protocol.ts';
import { requireSource } from './allowed-source.ts';
import {
  cacheName,
  findByDigest,
  findByName,
  type ImagePaths,
  imagePaths,
  makeDirectories,
  publish,
  rememberName,
} from './image-cache.ts';
import {
  type Descriptor,
  digestOf,
  ImageInvalid,
  type ImageManifest,
  parseConfig,
  parseManifest,
  platformDigest,
} from './image-manifest.ts';
import { Skopeo, sourceOf } from './skopeo.ts';
import { TarInvalid } from './tar/tar-invalid.ts';
import { unpackImage } from './unpack-image.ts';

/** The limits of a pull and a build. */
export type ImageLimits = Pick<
  Limits,
  | 'diskReserveBytes'
  | 'imageBytesMax'
  | 'imageProgressMs'
  | 'imageTimeoutMs'
  | 'imageUnpackedBytesMax'
>;

interface Provision {
  readonly settings: JobArgument<'fetchImage'>['settings'];
  readonly reference: ImageReference;
  /** As the client wrote it, for messages. */
  readonly shown: string;
  readonly digest: string | null;
  readonly name: string;
  readonly paths: ImagePaths;
  readonly work: string;
  readonly skopeo: Skopeo;
  readonly reservation: DiskReservation;
  readonly limits: ImageLimits;
  /** Aborted when no caller waits any more, or when it takes too long. */
  readonly signal: AbortSignal;
  readonly report: JobArgument<'fetchImage'>['progress'];
}

/** A manifest whose blobs are here. */
interface Pulled {
  readonly digest: string;
  readonly manifest: ImageManifest;
}

/** The image that a name means, if it is in the cache. No registry is asked. */
export function findImage({
  settings,
  image,
  digest,
}: JobArgument<'findImage'>): ImageFacts | null {
  const byDigest = digest === null ? null : findByDigest(settings, digest);
  return byDigest ?? findByName(settings, cacheName(referenceOf(image), digest));
}

/**
 * Returns the image of the cache, after pulling and building it if necessary. With `refresh` the registry is asked what
 * the name means now. Throws MEDIA_DOWNLOAD_FAILED, MEDIA_CHECKSUM_MISMATCH, MEDIA_INVALID, MEDIA_NOT_ALLOWED,
 * DISK_SPACE_LOW, FEATURE_UNAVAILABLE. Any message through the port cancels it.
 */
export async function fetchImage(
  argument: JobArgument<'fetchImage'>,
  limits: ImageLimits = LIMITS,
): Promise<ImageFacts> {
  const { settings, image, digest, refresh, progress } = argument;
  const end = new AbortController();
  const cancelled = (why: string) =>
    new JobFault('MEDIA_DOWNLOAD_FAILED', `${image} cannot be pulled: ${why}`);
  progress.on('message', () => end.abort(cancelled('it was cancelled')));
  const late = () => end.abort(cancelled(`it takes longer than ${limits.imageTimeoutMs} ms`));
  const timer = setTimeout(late, limits.imageTimeoutMs);
  const paths = imagePaths(settings);
  const reservation = new DiskReservation(settings.cacheDirectory, image, limits.diskReserveBytes);
  let work: string | undefined;
  try {
    const reference = referenceOf(image);
    const found = refresh ? null : findImage(argument);
    if (found !== null) return found;
    await requireSource(settings, reference);
    makeDirectories(paths);
    work = mkdtempSync(join(paths.builds, 'image-'));
    const skopeo = new Skopeo(work, image, settings.registries, settings.outbound);
    const name = cacheName(reference, digest);
    const { signal } = end;
    const rest = {
      settings,
      reference,
      digest,
      name,
      paths,
      work,
      skopeo,
      reservation,
      limits,
      signal,
    };
    return await provide({ ...rest, shown: image, report: progress });
  } catch (error) {
    throw asFault(image, error);
  } finally {
    clearTimeout(timer);
    reservation.release();
    if (work !== undefined) rmSync(work, { recursive: true, force: true });
    progress.close();
  }
}

async function provide(provision: Provision): Promise<ImageFacts> {
  const { settings, reference, digest, shown, skopeo, signal } = provision;
  const asked = reference.kind === 'registry' ? digest : null;
  const document = await skopeo.manifest(sourceOf(reference, asked), signal);
  const outer = digestOf(document);
  const platform = platformDigest(document) ?? outer;
  const wanted = digest ?? (reference.kind === 'registry' ? reference.digest : null);
  if (wanted !== null && wanted !== outer && wanted !== platform) {
    throw new JobFault(
      'MEDIA_CHECKSUM_MISMATCH',
      `${shown} has the digest ${outer}, not ${wanted}`,
    );
  }
  const before = findByDigest(settings, platform);
  if (before === null) {
    const isIndex = platform !== outer;
    await build(provision, await pull(provision, platform, isIndex ? null : document));
  }
  rememberName(settings, provision.name, platform);
  const built = before ?? findByDigest(settings, platform);
  if (built !== null) return built;
  throw new JobFault('HOST_OPERATION_FAILED', `The image ${shown} has vanished from the cache`);
}

/** Fetches the blobs. `document` is the manifest; null: it is to be asked for. */
async function pull(
  provision: Provision,
  platform: string,
  document: string | null,
): Promise<Pulled> {
  const { reference, shown, skopeo, work, paths, reservation, limits, signal } = provision;
  const isRegistry = reference.kind === 'registry';
  const source = sourceOf(reference, isRegistry ? platform : null);
  const own = document ?? (isRegistry ? await skopeo.manifest(source, signal) : null);
  if (own !== null && digestOf(own) !== platform) {
    throw new JobFault(
      'MEDIA_CHECKSUM_MISMATCH',
      `${shown}: the registry has sent another manifest than asked for`,
    );
  }
  const known = own === null ? null : parseManifest(own);
  const blobs = known === null ? null : [known.config, ...known.layers];
  const totalBytes = blobs?.reduce((sum, { size }) => sum + size, 0) ?? null;
  if (totalBytes !== null) {
    requireSize(shown, totalBytes, limits);
    reservation.require(totalBytes - presentBytes(paths, blobs ?? []));
  }
  const layout = join(work, 'layout');
  await watched(provision, blobs, totalBytes, (end) =>
    skopeo.copy(source, layout, paths.blobs, end),
  );
  return { digest: platform, manifest: known ?? copiedManifest(layout, paths) };
}

/** Reports progress while `work` runs, and ends it when more arrives than an image may have. */
async function watched(
  { shown, work, paths, limits, signal, report }: Provision,
  blobs: readonly Descriptor[] | null,
  totalBytes: number | null,
  copy: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const tooLarge = new AbortController();
  const done = new AbortController();
  const look = async () => {
    for (;;) {
      const receivedBytes = presentBytes(paths, blobs ?? []) + partialBytes(join(work, 'layout'));
      report.postMessage({ receivedBytes, totalBytes });
      try {
        requireSize(shown, receivedBytes, { imageBytesMax: totalBytes ?? limits.imageBytesMax });
      } catch (error) {
        tooLarge.abort(error);
      }
      await sleep(limits.imageProgressMs, undefined, { signal: done.signal });
    }
  };
  const looking = look().catch((error: unknown) => {
    if (!done.signal.aborted) tooLarge.abort(error);
  });
  try {
    await copy(AbortSignal.any([signal, tooLarge.signal]));
  } finally {
    done.abort();
    await looking;
  }
  report.postMessage({ receivedBytes: totalBytes ?? 0, totalBytes });
}

function requireSize(
  shown: string,
  bytes: number,
  { imageBytesMax }: Pick<ImageLimits, 'imageBytesMax'>,
) {
  if (bytes <= imageBytesMax) return;
  const why = `it has more than ${imageBytesMax} bytes`;
  throw new JobFault('MEDIA_DOWNLOAD_FAILED', `${shown} cannot be pulled: ${why}`);
}

function presentBytes({ blobs }: ImagePaths, wanted: readonly Descriptor[]): number {
  const isPresent = ({ digest }: Descriptor) =>
    statSync(blobPath(blobs, digest), { throwIfNoEntry: false }) !== undefined;
  return wanted.filter(isPresent).reduce((sum, { size }) => sum + size, 0);
}

/** Blobs under way are beside the layout's index. */
function partialBytes(layout: string): number {
  try {
    return readdirSync(layout)
      .filter((name) => name.startsWith('oci-put-blob'))
      .map((name) => statSync(join(layout, name), { throwIfNoEntry: false })?.size ?? 0)
      .reduce((sum, size) => sum + size, 0);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

function copiedManifest(layout: string, { blobs }: ImagePaths): ImageManifest {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
  return parseManifest(readBlob(blobs, index.manifests[0].digest));
}

/** Unpacks the layers and makes the root disk. */
async function build(provision: Provision, { digest, manifest }: Pulled): Promise<void> {
  const { settings, paths, work, reservation, limits, signal } = provision;
  const { config, layers } = manifest;
  const { settings: image, contentDigests } = parseConfig(
    readBlob(paths.blobs, config.digest),
    layers.length,
  );
  const disk = join(work, 'disk');
  const unpackedBytes = await unpackImage({
    work,
    disk,
    layers: layers.map((layer, index) => ({
      path: blobPath(paths.blobs, layer.digest),
      digest: hexOf(layer.digest),
      contentDigest: hexOf(contentDigests[index] ?? ''),
    })),
    image,
    bytesMax: limits.imageUnpackedBytesMax,
    requireSpace: (bytes) => reservation.require(bytes),
    signal,
  });
  const pulledBytes = [config, ...layers].reduce((sum, { size }) => sum + size, 0);
  const record = { digest, settings: image, pulledBytes, unpackedBytes, layers: layers.length };
  publish(settings, record, (path) => {
    // Whole seconds survive what the cache does to the access time.
    const seconds = Math.floor(Date.now() / 1000);
    utimesSync(disk, seconds, seconds);
    renameSync(disk, path);
  });
}

/** A document of an image. Its digest is compared, because a blob may have been damaged since it was fetched. */
function readBlob(blobs: string, digest: string): string {
  const path = blobPath(blobs, digest);
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined || facts.size > LIMITS.imageDocumentBytesMax) {
    throw new ImageInvalid(`has a config of more than ${LIMITS.imageDocumentBytesMax} bytes`);
  }
  const document = readFileSync(path);
  if (digestOf(document) === digest) return document.toString('utf8');
  rmSync(path, { force: true });
  throw new ImageInvalid('is damaged: its config has another digest; pull it again');
}

function blobPath(blobs: string, digest: string): string {
  return join(blobs, 'sha256', hexOf(digest));
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}

function referenceOf(image: string): ImageReference {
  const reference = parseImageReference(image);
  if (typeof reference !== 'string') return reference;
  throw new JobFault('MEDIA_INVALID', `${image} ${reference}`);
}

function asFault(shown: string, error: unknown): unknown {
  const isOfImage = error instanceof ImageInvalid || error instanceof TarInvalid;
  return isOfImage ? new JobFault('MEDIA_INVALID', `The image ${shown} ${error.message}`) : error;
}
