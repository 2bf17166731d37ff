// workers, job: the files that a VM boots from, and whether they may be used.

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
import { LIMITS } from '../../config.ts';
import type { BootFile, MediaFacts } from '../../engine/media-ports.ts';
import { BOOT_HEAD_BYTES, initramfsProblem, kernelProblem } from '../boot-files.ts';
import type { HostSettings, InspectedMedia, JobArgument } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';
import { requireReadable } from './sandbox.ts';

/**
 * A file that a request named. Links are followed before the directories are compared: a link inside
 * an allowed directory does not lead out of it. Paths in messages are the client's own words.
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
  // What the operator has named by a setting is allowed by that.
  const allowed = isBelowOne || path === settings.bootInitramfs;
  // Outside the allowed directories nobody learns whether a file exists.
  if (!allowed && (realPath !== null || !isBelow(path, settings.mediaDirectories))) {
    const where = settings.mediaDirectories.join(', ');
    throw new JobFault('MEDIA_NOT_ALLOWED', `${path} is not below ${where} (VOLANT_MEDIA_DIRS)`);
  }
  if (realPath === null) throw new JobFault('MEDIA_INVALID', `${path} does not exist`);
  const facts = factsOf(path, realPath);
  if (settings.isolation === 'full') requireReadable(realPath, path);
  const problem = kind === null ? null : bootProblem(settings, realPath, kind);
  if (problem !== null) throw new JobFault('MEDIA_INVALID', `${path} ${problem}`);
  return facts;
}

/** Why a guest could not start from a file, to be said after its name. The simulator starts from nothing. */
export function bootProblem(settings: HostSettings, path: string, kind: BootFile): string | null {
  if (settings.hypervisor === 'simulator') return null;
  const head = Buffer.alloc(BOOT_HEAD_BYTES);
  const fd = openSync(path, 'r');
  try {
    const start = head.subarray(0, readSync(fd, head, 0, BOOT_HEAD_BYTES, 0));
    return kind === 'kernel' ? kernelProblem(start) : initramfsProblem(start);
  } finally {
    closeSync(fd);
  }
}

/** A document that a manifest names, under the same rules, to the byte. */
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

/** The uncompressed kernel where there is one: it boots sooner. */
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
    // The last one is Node's own, for a NUL.
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
