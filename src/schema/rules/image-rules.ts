// schema: rules for the images and disks of manifests and configs. Pure. Worker threads check whether a file exists and may
// be used.

import { posix } from 'node:path';
import { LIMITS } from '../../config/limits.ts';
import {
  FILE_SYSTEMS,
  foreignRemedy,
  type ImageFormat,
  imageFormat,
} from '../../lib/formats/image-formats.ts';
import { imageLocation } from '../../lib/formats/image-location.ts';
import type { ManifestInput } from '../manifest.ts';

type DiskInput = NonNullable<ManifestInput['disks']>[number];

/** Valid as a file name. The guest sees the first 20 characters. */
const DISK_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const DISK_TARGET = /^([A-Za-z0-9._-]{0,20}|\/[A-Za-z0-9._/-]{1,255})$/;
/** virtio-blk truncates a serial number at this length (VIRTIO_BLK_ID_BYTES). */
const SERIAL_BYTES_MAX = 20;
/** Serial numbers of the daemon's own disks. */
const RESERVED = ['rootfs', 'seed'];

/** Checks the source of an image. `field` is the member with its location. */
export function checkImage(
  image: { url?: string | undefined; checksum?: string | undefined } | null | undefined,
  path: string,
  problems: Record<string, string>,
  field = 'url',
): { url: string; checksum: string } {
  const url = image?.url?.trim() ?? '';
  const checksum = image?.checksum?.trim() ?? '';
  const found = url === '' ? null : imageLocation(url);
  if (typeof found === 'string') problems[`${path}.${field}`] = found;
  if (checksum !== '' && !/^(sha256:)?[0-9a-fA-F]{64}$/.test(checksum)) {
    problems[`${path}.checksum`] = 'must be sha256: and 64 hex digits';
  }
  return { url, checksum };
}

/** The extension of a name determines the format if no other member does. */
export function formatOfName(url: string): string | undefined {
  const extension = extensionOf(url);
  return imageFormat(extension) === null ? undefined : extension;
}

function extensionOf(url: string): string | undefined {
  return /\.([a-z0-9]+)$/i.exec(url.split(/[?#]/)[0] ?? '')?.[1];
}

/**
 * Finds a disk whose name has the extension of an unsupported format. A given format takes precedence over the name: the
 * data of some VMDK images are raw.
 */
export function checkDiskName(
  url: string,
  format: string | undefined,
  path: string,
  problems: Record<string, string>,
): void {
  const extension = extensionOf(url);
  const remedy = extension === undefined ? null : foreignRemedy(extension);
  if (remedy === null || format?.trim()) return;
  problems[path] ??= `ends with .${extension}: ${remedy}, or say its format if it is another`;
}

/** The format in its normal form. */
export function checkDiskFormat(
  given: string | undefined,
  path: string,
  problems: Record<string, string>,
): ImageFormat {
  const format = imageFormat(given);
  if (format !== null) return format;
  const remedy = foreignRemedy(given ?? '');
  const others = `${FILE_SYSTEMS.join(', ')} for a raw image with that file system`;
  const rule = `must be raw or qcow2, or ${others}`;
  problems[path] = remedy === null ? rule : `${rule}; ${remedy}`;
  return 'raw';
}

/** The disks in their normal form; undefined if there are none. */
export function checkDisks(
  input: ManifestInput,
  problems: Record<string, string>,
): ManifestInput['disks'] | undefined {
  if (input.disks === undefined || input.disks.length === 0) return undefined;
  if (input.disks.length > LIMITS.disksMax) {
    problems['disks'] = `must be at most ${LIMITS.disksMax}`;
  }
  const seen = { names: new Set<string>(), serials: new Set(RESERVED), targets: new Set<string>() };
  return input.disks.map((disk, index) => checkDisk(disk, `disks[${index}]`, seen, problems));
}

function checkDisk(
  disk: DiskInput,
  path: string,
  seen: { names: Set<string>; serials: Set<string>; targets: Set<string> },
  problems: Record<string, string>,
): DiskInput {
  const name = disk.name?.trim() ?? '';
  if (name === '') problems[`${path}.name`] = 'is required';
  else if (!DISK_NAME.test(name) || RESERVED.includes(name)) {
    problems[`${path}.name`] =
      'must be 1 to 64 of a-z, 0-9, ".", "_" and "-", and not rootfs or seed';
  } else if (seen.names.has(name))
    problems[`${path}.name`] = `another disk has the name ${name}, too`;
  seen.names.add(name);
  const target = checkTarget(disk.target?.trim() ?? '', `${path}.target`, seen.targets, problems);
  const serial = serialOf(name, target);
  if (seen.serials.has(serial) && !RESERVED.includes(name)) {
    const why = RESERVED.includes(serial) ? 'is the daemon’s own' : 'is that of another disk, too';
    problems[path] ??= `the serial number ${serial} ${why}`;
  }
  seen.serials.add(serial);
  const image = { url: disk.source, checksum: disk.checksum };
  const { url: source } = checkImage(image, path, problems, 'source');
  if (source === '') problems[`${path}.source`] = 'is required';
  checkDiskName(source, disk.format, `${path}.source`, problems);
  const format = checkDiskFormat(disk.format, `${path}.format`, problems);
  return { ...disk, name, source, format, ...(target === '' ? {} : { target }) };
}

/** The target in its normal form: a mount point without redundant parts, so that two spellings of it are equal. */
function checkTarget(
  given: string,
  path: string,
  seen: Set<string>,
  problems: Record<string, string>,
): string {
  if (!DISK_TARGET.test(given)) {
    const mark = 'letters, digits, ".", "_" and "-"';
    problems[path] = given.startsWith('/')
      ? `must have no other characters than ${mark} and "/", and at most 256 of them`
      : `must be a serial number, at most 20 ${mark}, or an absolute path to mount it at`;
    return given;
  }
  if (!given.startsWith('/')) return given;
  const target = posix.normalize(given).replace(/\/$/, '');
  if (given.split('/').includes('..')) problems[path] = 'must not have ".." in its path';
  else if (target === '') problems[path] = 'must not be the root directory';
  else if (seen.has(target)) problems[path] = `another disk is mounted at ${target}, too`;
  seen.add(target);
  return target;
}

/** The serial number by which a guest finds the disk: its target, unless that is a mount point; then its name. */
export function serialOf(name: string, target: string): string {
  const wanted = target === '' || target.startsWith('/') ? name : target;
  return wanted.slice(0, SERIAL_BYTES_MAX);
}
