// jobs, media: checks the files that a VM boots from: whether the daemon's settings allow them, and whether they can
// be used. Disk images are checked in disks.ts.

import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { sep } from 'node:path';
import { bootsGuests, driverOf } from '../../../config/drivers.ts';
import { LIMITS } from '../../../config/limits.ts';
import type { BootFile, MediaFacts, MediaKind } from '../../../engine/ports/media-ports.ts';
import { errnoOf, JobFault } from '../fault.ts';
import type { HostSettings, InspectedMedia, JobArgument } from '../protocol.ts';
import { diskSizeOf } from './disk-content.ts';
import { BOOT_HEAD_BYTES, initramfsProblem, kernelProblem } from './formats/boot-files.ts';
import { requireReadable } from './readable.ts';

/**
 * Checks a file that a request names. Links are resolved before the directories are compared, so a link inside an
 * allowed directory cannot lead out of it. Messages use the client's path. Throws MEDIA_NOT_ALLOWED, MEDIA_INVALID.
 */
export function inspectMedia({
  settings,
  path,
  kind,
}: JobArgument<'inspectMedia'>): InspectedMedia {
  const realPath = resolved(path);
  const isBelowOne = settings.mediaDirectories.some((directory) => {
    const real = realDirectory(directory);
    return real !== null && realPath?.startsWith(real + sep);
  });
  // A file that a setting names is allowed.
  const allowed = isBelowOne || path === settings.bootInitramfs;
  // Outside of the allowed directories the answer must not reveal whether a file exists.
  if (!allowed && (realPath !== null || !isBelow(path, settings.mediaDirectories))) {
    const where = settings.mediaDirectories.join(', ');
    throw new JobFault('MEDIA_NOT_ALLOWED', `${path} is not below ${where} (VOLANT_MEDIA_DIRS)`);
  }
  if (realPath === null) throw new JobFault('MEDIA_INVALID', `${path} does not exist`);
  const facts = factsOf(path, realPath);
  if (settings.isolation === 'full') requireReadable(realPath, path);
  const problem = problemOf(settings, realPath, kind);
  if (problem !== null) throw new JobFault('MEDIA_INVALID', `${path} ${problem}`);
  return facts;
}

/** Below an allowed directory, and not there. Outside of them nobody learns whether a file exists. */
export function isMissing({ settings, path }: JobArgument<'isMissing'>): boolean {
  return resolved(path) === null && isBelow(path, settings.mediaDirectories);
}

/** Why a file is of no use for what it is wanted for, to be said after its name. */
function problemOf(settings: HostSettings, path: string, kind: MediaKind): string | null {
  if (typeof kind === 'string') return bootProblem(settings, path, kind);
  const size = kind === null ? 0 : diskSizeOf(path, kind);
  return typeof size === 'object' ? size.problem : null;
}

/**
 * Returns why a guest could not boot from a file, as the end of a sentence; null when it may. The simulator boots
 * nothing.
 */
export function bootProblem(settings: HostSettings, path: string, kind: BootFile): string | null {
  if (!bootsGuests(driverOf(settings.hypervisor))) return null;
  const head = Buffer.alloc(BOOT_HEAD_BYTES);
  const fd = openSync(path, 'r');
  try {
    const start = head.subarray(0, readSync(fd, head, 0, BOOT_HEAD_BYTES, 0));
    return kind === 'kernel' ? kernelProblem(start) : initramfsProblem(start);
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a document that a manifest names, under the same rules. Throws DOCUMENT_NOT_FOUND, MEDIA_NOT_ALLOWED,
 * MEDIA_INVALID.
 */
export function readDocument({ settings, path }: JobArgument<'readDocument'>): Uint8Array {
  const { realPath, sizeBytes } = documentFacts({ settings, path, kind: null });
  if (sizeBytes > LIMITS.documentBytesMax) {
    const why = `${path} is larger than ${LIMITS.documentBytesMax} bytes`;
    throw new JobFault('MEDIA_INVALID', why);
  }
  return readFileSync(realPath);
}

function documentFacts(argument: JobArgument<'inspectMedia'>): MediaFacts {
  try {
    return inspectMedia(argument);
  } catch (error) {
    if (!(error instanceof JobFault) || error.fault.code !== 'MEDIA_INVALID') throw error;
    throw new JobFault('DOCUMENT_NOT_FOUND', error.message);
  }
}

/** Returns the guest kernel; the uncompressed one if it exists, because it boots sooner. Throws KERNEL_MISSING. */
export function findKernel({ settings }: JobArgument<'findKernel'>): MediaFacts {
  for (const path of [settings.kernelVmlinux, settings.kernelBzImage]) {
    const realPath = resolved(path);
    if (realPath === null) continue;
    const facts = factsOf(path, realPath);
    const problem = bootProblem(settings, realPath, 'kernel');
    if (problem !== null) throw new JobFault('KERNEL_MISSING', `${path} ${problem}`);
    return facts;
  }
  const remedy = 'run `npm run setup` or `volantd setup`, or set VOLANT_KERNEL_VMLINUX';
  throw new JobFault('KERNEL_MISSING', `There is no guest kernel: ${remedy}`);
}

function factsOf(path: string, realPath: string): InspectedMedia {
  const facts = statSync(realPath);
  if (!facts.isFile()) throw new JobFault('MEDIA_INVALID', `${path} is not a file`);
  if (facts.size === 0) throw new JobFault('MEDIA_INVALID', `${path} is empty`);
  try {
    accessSync(realPath, constants.R_OK);
  } catch (error) {
    throw new JobFault('MEDIA_INVALID', `${path} cannot be read`, error);
  }
  const { size, mtimeMs, ino } = facts;
  return { realPath, sizeBytes: size, version: `${size} ${mtimeMs} ${ino}` };
}

function isBelow(path: string, directories: readonly string[]): boolean {
  const plain = !path.split(sep).includes('..');
  return plain && directories.some((directory) => path.startsWith(directory + sep));
}

function realDirectory(directory: string): string | null {
  return resolved(directory);
}

function resolved(path: string): string | null {
  try {
    return realpathSync(path);
  } catch (error) {
    // The last one is Node's own code for a path with a NUL byte.
    const absent = [
      'ENOENT',
      'ENOTDIR',
      'ELOOP',
      'EACCES',
      'ENAMETOOLONG',
      'ERR_INVALID_ARG_VALUE',
    ];
    if (absent.includes(errnoOf(error) ?? '')) return null;
    throw error;
  }
}
