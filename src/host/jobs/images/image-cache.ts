// jobs, images: the images of the cache: for each a root disk and a record beside it, named by the digest of the image's
// manifest; and for each name of an image, the digest that it had last. How images are made is in provide-image.ts.

import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LIMITS } from '../../../config/limits.ts';
import type { ImageFacts, ImageSettings, StoredImage } from '../../../engine/ports/media-ports.ts';
import { formatImageReference, type ImageReference } from '../../../lib/formats/image-reference.ts';
import { readJson, replaceFile, syncDirectory } from '../durable.ts';
import { JobFault } from '../fault.ts';
import { namesIn } from '../if-present.ts';
import { imagesInUse } from '../media/cache.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';

const DISK = '.ext4';
const RECORD = '.json';
/** Images that another version has made in another way are made again. */
const BUILD_VERSION = 1;

/** What is recorded beside a root disk. */
export interface ImageRecord {
  readonly version: number;
  /** sha256: and 64 hexadecimal digits. */
  readonly digest: string;
  readonly settings: ImageSettings;
  /** Blobs of the image as they were transferred. */
  readonly pulledBytes: number;
  readonly unpackedBytes: number;
  readonly layers: number;
  readonly builtAtMs: number;
}

interface NameRecord {
  readonly name: string;
  readonly digest: string;
}

export interface ImagePaths {
  readonly images: string;
  readonly names: string;
  /** Blobs by digest, shared by images. Their directory has the form of an OCI layout. */
  readonly blobs: string;
  /** A directory for each build under way. */
  readonly builds: string;
}

/** The directories of images within the cache. */
export function imagePaths({ cacheDirectory }: HostSettings): ImagePaths {
  return {
    images: join(cacheDirectory, 'images'),
    names: join(cacheDirectory, 'image-names'),
    blobs: join(cacheDirectory, 'blobs'),
    builds: join(cacheDirectory, 'builds'),
  };
}

export function makeDirectories(paths: ImagePaths): void {
  const { images, names, blobs, builds } = paths;
  for (const path of [images, names, join(blobs, 'sha256'), builds]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
}

/** Removes what builds of an earlier daemon have left. Called before the first build of this one. */
export function sweepImageBuilds({ settings }: JobArgument<'sweepImageBuilds'>): null {
  rmSync(imagePaths(settings).builds, { recursive: true, force: true });
  return null;
}

/** The name that an image is known by. A digest that was asked for beside a tag decides. */
export function cacheName(reference: ImageReference, digest: string | null): string {
  if (digest === null) return formatImageReference(reference);
  if (reference.kind !== 'registry') return `${formatImageReference(reference)}@${digest}`;
  return formatImageReference({ ...reference, tag: null, digest });
}

/** The image that a name meant last; null if it is not known or not here. */
export function findByName(settings: HostSettings, name: string): ImageFacts | null {
  const record = readName(imagePaths(settings), name);
  return record === null ? null : findByDigest(settings, record.digest);
}

/** The image with this digest of its manifest; null if it is not here. */
export function findByDigest(settings: HostSettings, digest: string): ImageFacts | null {
  const path = diskPath(imagePaths(settings), digest);
  const facts = statSync(path, { throwIfNoEntry: false });
  const record = facts === undefined ? null : readRecord(path);
  if (facts === undefined || record === null) return null;
  // The access time is what the cache is trimmed by. The modification time identifies the disk, and stays.
  utimesSync(path, Date.now() / 1000, Math.floor(facts.mtimeMs / 1000));
  return {
    realPath: path,
    sizeBytes: facts.size,
    digest: record.digest,
    settings: record.settings,
  };
}

/** Records what a name means, durably. */
export function rememberName(settings: HostSettings, name: string, digest: string): void {
  const { names } = imagePaths(settings);
  const record: NameRecord = { name, digest };
  replaceFile(join(names, `${keyOf(name)}${RECORD}`), JSON.stringify(record));
  syncDirectory(names);
}

/** Gives a root disk its name in the cache. It is there with its record, or not at all. */
export function publish(
  settings: HostSettings,
  record: Omit<ImageRecord, 'version' | 'builtAtMs'>,
  rename: (path: string) => void,
): void {
  const paths = imagePaths(settings);
  const path = diskPath(paths, record.digest);
  // A disk that VMs are based on is never replaced, whatever made the same image a second time.
  if (statSync(path, { throwIfNoEntry: false }) !== undefined && readRecord(path) !== null) return;
  const whole: ImageRecord = { ...record, version: BUILD_VERSION, builtAtMs: Date.now() };
  replaceFile(`${path}${RECORD}`, JSON.stringify(whole));
  rename(path);
  syncDirectory(paths.images);
}

/** Every image that is here, with its names. */
export function listImages({ settings }: JobArgument<'listImages'>): StoredImage[] {
  const paths = imagePaths(settings);
  const names = new Map<string, string[]>();
  for (const { name, digest } of readNames(paths)) {
    names.set(digest, [...(names.get(digest) ?? []), name]);
  }
  const used = imagesInUse(settings.diskDirectory);
  return namesIn(paths.images)
    .filter((name) => name.endsWith(DISK))
    .flatMap((name) => {
      const path = join(paths.images, name);
      const facts = statSync(path, { throwIfNoEntry: false });
      const record = readRecord(path);
      if (facts === undefined || record === null) return [];
      const { digest, pulledBytes, unpackedBytes, layers, builtAtMs } = record;
      return {
        digest,
        names: (names.get(digest) ?? []).sort(),
        settings: record.settings,
        pulledBytes,
        unpackedBytes,
        diskBytes: facts.blocks * 512,
        layers,
        builtAtMs,
        isInUse: used === null || used.has(basename(path)),
      };
    });
}

/** Removes an image and its names. Throws IMAGE_IN_USE, IMAGE_NOT_FOUND. */
export function removeImage({ settings, digest, pinned }: JobArgument<'removeImage'>): null {
  const paths = imagePaths(settings);
  const path = diskPath(paths, digest);
  if (readRecord(path) === null)
    throw new JobFault('IMAGE_NOT_FOUND', `There is no image ${digest}`);
  const used = imagesInUse(settings.diskDirectory);
  if (used === null || used.has(basename(path)) || pinned.includes(basename(path))) {
    throw new JobFault('IMAGE_IN_USE', `VMs are made of the image ${digest}: delete them first`);
  }
  for (const record of readNames(paths)) {
    if (record.digest === digest)
      rmSync(join(paths.names, `${keyOf(record.name)}${RECORD}`), { force: true });
  }
  rmSync(path, { force: true });
  rmSync(`${path}${RECORD}`, { force: true });
  syncDirectory(paths.images);
  return null;
}

function diskPath({ images }: ImagePaths, digest: string): string {
  return join(images, `${digest.slice('sha256:'.length)}${DISK}`);
}

/** null: there is none, it is of another version, or a power failure has left it incomplete. */
function readRecord(path: string): ImageRecord | null {
  const record = readJsonOrNull(`${path}${RECORD}`) as ImageRecord | null;
  return record?.version === BUILD_VERSION ? record : null;
}

function readName({ names }: ImagePaths, name: string): NameRecord | null {
  return readJsonOrNull(join(names, `${keyOf(name)}${RECORD}`)) as NameRecord | null;
}

function readNames({ names }: ImagePaths): NameRecord[] {
  return namesIn(names)
    .slice(0, LIMITS.imageNamesMax)
    .flatMap((file) => (readJsonOrNull(join(names, file)) as NameRecord | null) ?? []);
}

function readJsonOrNull(path: string): unknown {
  try {
    return readJson(path);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function keyOf(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}
