// workers, job: the run directory of a VM and the logs in it.

import {
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { LIMITS } from '../../config.ts';
import { RUN_FILES } from '../../engine/ports.ts';
import type { JobArgument } from '../protocol.ts';
import { errnoOf } from './fault.ts';
import { readEnd, withForeignFile } from './foreign-file.ts';

/** The end of a log that is looked at for its last lines. */
const TAIL_BYTES_MAX = 8 * 1024;

/** Longer than any name of a home. */
const HOME_ID_BYTES_MAX = 256;

/** An empty directory, whatever stood there before. */
export function makeRunDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}

/**
 * The daemon's own files, though the directory is its hypervisor's: never written through what a guest that broke out put
 * in their place, and read only when they are still the daemon's.
 */
const OURS = { mode: 0o600, flag: 'wx' };

/** What the kernel says when the note of the home is not there, has all the links that it may have, or may have none. */
const NO_LINK = ['ENOENT', 'EMLINK', 'EPERM'];

/** Whose it is: a link to the note of the home, because a new file is what costs a launch most on a busy file system. */
export function claimRunDirectory(directory: string, homeId: string): void {
  const path = join(directory, RUN_FILES.homeId);
  try {
    linkSync(join(dirname(directory), RUN_FILES.homeId), path);
  } catch (error) {
    if (!NO_LINK.includes(errnoOf(error) ?? '')) throw error;
    writeFileSync(path, homeId, OURS);
  }
}

/** What runs in each, in place of what stood there before. */
export function describeVms({ settings, descriptions }: JobArgument<'describeVms'>): null {
  for (const description of descriptions) {
    const directory = join(settings.runtimeDirectory, String(description.record.id));
    replace(join(directory, RUN_FILES.description), JSON.stringify(description));
  }
  return null;
}

/** The directory is gone; or its hypervisor put something else there, which nobody will believe: the others' go on. */
const NOT_OURS = ['ENOENT', 'EEXIST', 'ERR_FS_EISDIR'];

function replace(path: string, text: string): void {
  try {
    rmSync(path, { force: true });
    writeFileSync(path, text, OURS);
  } catch (error) {
    if (!NOT_OURS.includes(errnoOf(error) ?? '')) throw error;
  }
}

/** What runs in a run directory, if that is there as the daemon wrote it. */
export function readDescriptionText(directory: string): string | undefined {
  return withForeignFile(join(directory, RUN_FILES.description), constants.O_RDONLY, (fd) =>
    isOurs(fd) ? readFileSync(fd, 'utf8') : undefined,
  );
}

/** The home whose daemon made this run directory; undefined when it does not say so. */
export function readOwner(directory: string): string | undefined {
  const action = (fd: number) =>
    isOurs(fd) ? readEnd(fd, HOME_ID_BYTES_MAX).toString() : undefined;
  const path = join(directory, RUN_FILES.homeId);
  return withForeignFile(path, constants.O_RDONLY, action, { mayBeLinked: true });
}

function isOurs(fd: number): boolean {
  return fstatSync(fd).uid === process.geteuid?.();
}

/** Of another home. A run directory that does not say whose it is is from before they did. */
export function isForeign(directory: string, homeId: string): boolean {
  const owner = readOwner(directory);
  return owner !== undefined && owner !== homeId;
}

export function removeRunDirectory({ settings, vmId }: JobArgument<'removeRunDirectory'>): null {
  rmSync(join(settings.runtimeDirectory, String(vmId)), { recursive: true, force: true });
  return null;
}

export function readLogTail({ path }: JobArgument<'readLogTail'>): readonly string[] {
  const text = withForeignFile(path, constants.O_RDONLY, (fd) =>
    readEnd(fd, TAIL_BYTES_MAX).toString(),
  );
  const lines = (text ?? '').split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-LIMITS.errorLogLinesMax);
}

/** What the guest printed last. */
export function readConsole({ settings, vmId }: JobArgument<'readConsole'>): Uint8Array {
  const path = join(settings.runtimeDirectory, String(vmId), RUN_FILES.consoleLog);
  return (
    withForeignFile(path, constants.O_RDONLY, (fd) => readEnd(fd, LIMITS.consoleReplayBytesMax)) ??
    new Uint8Array()
  );
}

/** Console and hypervisor logs that have grown too large keep their newest half. */
export function trimLogs({ settings, vmIds }: JobArgument<'trimLogs'>): null {
  for (const vmId of vmIds) {
    for (const name of [RUN_FILES.consoleLog, RUN_FILES.hypervisorLog]) {
      withForeignFile(join(settings.runtimeDirectory, String(vmId), name), constants.O_RDWR, trim);
    }
  }
  return null;
}

/**
 * In place: the hypervisor holds the file open and appends, so what it writes next follows what is
 * kept. Bytes that it writes between the read and the cut are lost; that is some microseconds.
 */
function trim(fd: number): void {
  if (fstatSync(fd).size <= LIMITS.logBytesMax) return;
  const kept = readEnd(fd, LIMITS.logBytesMax / 2);
  const firstLine = kept.indexOf('\n') + 1;
  ftruncateSync(fd, 0);
  writeSync(fd, kept.subarray(firstLine), 0, null, 0);
}
