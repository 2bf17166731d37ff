// jobs, process: the run directory of a VM: its owner, its description, and the logs in it.

import {
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { LIMITS } from '../../../config/limits.ts';
import { RUN_FILES } from '../../../engine/ports/hypervisor-ports.ts';
import { errnoOf } from '../fault.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { readEnd, withUntrustedFile } from '../untrusted-file.ts';

/** Bytes at the end of a log in which the stderr tail is searched. */
const TAIL_BYTES_MAX = 8 * 1024;

/** Longer than any home id. */
const HOME_ID_BYTES_MAX = 256;

/** Creates an empty directory and removes what was there before. */
export function makeRunDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
}

/**
 * The daemon's files in a directory that belongs to the hypervisor. They are created exclusively, so a compromised
 * hypervisor cannot redirect the write, and read only if the daemon still owns them.
 */
const OURS = { mode: 0o600, flag: 'wx' };

/** Errors of a hard link: the home's file is missing, has the maximum number of links, or may not be linked. */
const NO_LINK = ['ENOENT', 'EMLINK', 'EPERM'];

/**
 * Records which home owns the directory. It is a hard link to the home's file, because creating a file is the most
 * expensive part of a launch on a busy file system.
 */
export function claimRunDirectory(directory: string, homeId: string): void {
  const path = join(directory, RUN_FILES.homeId);
  try {
    linkSync(join(dirname(directory), RUN_FILES.homeId), path);
  } catch (error) {
    if (!NO_LINK.includes(errnoOf(error) ?? '')) throw error;
    writeFileSync(path, homeId, OURS);
  }
}

/** Writes the description of each VM into its run directory. */
export function describeVms({ settings, descriptions }: JobArgument<'describeVms'>): null {
  for (const description of descriptions) {
    const directory = join(settings.runtimeDirectory, String(description.record.id));
    replace(join(directory, RUN_FILES.description), JSON.stringify(description));
  }
  return null;
}

/** Errors when the directory is gone or its hypervisor put something else there. Other VMs must still be described. */
const NOT_OURS = ['ENOENT', 'EEXIST', 'EISDIR', 'ENOTEMPTY', 'ERR_FS_EISDIR'];

/** A reader finds the old text or the new one, never a part, even if the daemon is killed meanwhile. */
function replace(path: string, text: string): void {
  const next = `${path}.new`;
  try {
    rmSync(next, { force: true });
    writeFileSync(next, text, OURS);
    renameSync(next, path);
  } catch (error) {
    if (!NOT_OURS.includes(errnoOf(error) ?? '')) throw error;
  }
}

/** Reads the description, if the daemon wrote it; otherwise undefined. */
export function readDescriptionText(directory: string): string | undefined {
  return withUntrustedFile(join(directory, RUN_FILES.description), constants.O_RDONLY, (fd) =>
    isOurs(fd) ? readFileSync(fd, 'utf8') : undefined,
  );
}

/** Returns the id of the home that owns a directory; undefined when it is not recorded. */
export function readOwner(directory: string): string | undefined {
  const action = (fd: number) =>
    isOurs(fd) ? readEnd(fd, HOME_ID_BYTES_MAX).toString() : undefined;
  const path = join(directory, RUN_FILES.homeId);
  return withUntrustedFile(path, constants.O_RDONLY, action, { mayBeLinked: true });
}

function isOurs(fd: number): boolean {
  return fstatSync(fd).uid === process.geteuid?.();
}

/**
 * Whether a directory belongs to another home. One without a recorded owner was made by an older daemon and counts as
 * ours.
 */
export function isOfOtherHome(directory: string, homeId: string): boolean {
  const owner = readOwner(directory);
  return owner !== undefined && owner !== homeId;
}

/** Removes a run directory. An absent one is no error. */
export function removeRunDirectory({ runtimeDirectory }: HostSettings, vmId: number): void {
  rmSync(join(runtimeDirectory, String(vmId)), { recursive: true, force: true });
}

/** Returns the last non-empty lines of a log, LIMITS.errorLogLinesMax at most. */
export function readLogTail({ path }: JobArgument<'readLogTail'>): readonly string[] {
  const text = withUntrustedFile(path, constants.O_RDONLY, (fd) =>
    readEnd(fd, TAIL_BYTES_MAX).toString(),
  );
  const lines = (text ?? '').split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-LIMITS.errorLogLinesMax);
}

/** Returns the end of the console log. */
export function readConsole({ settings, vmId }: JobArgument<'readConsole'>): Uint8Array {
  const path = join(settings.runtimeDirectory, String(vmId), RUN_FILES.consoleLog);
  return (
    withUntrustedFile(path, constants.O_RDONLY, (fd) =>
      readEnd(fd, LIMITS.consoleReplayBytesMax),
    ) ?? new Uint8Array()
  );
}

/** Cuts console and hypervisor logs that are too large to their newest half. */
export function trimLogs({ settings, vmIds }: JobArgument<'trimLogs'>): null {
  for (const vmId of vmIds) {
    for (const name of [RUN_FILES.consoleLog, RUN_FILES.hypervisorLog]) {
      withUntrustedFile(
        join(settings.runtimeDirectory, String(vmId), name),
        constants.O_RDWR,
        trim,
      );
    }
  }
  return null;
}

/**
 * Works in place: the hypervisor has the file open for appending, so its next output follows what is kept. Output
 * between the read and the truncation is lost; that takes some microseconds.
 */
function trim(fd: number): void {
  if (fstatSync(fd).size <= LIMITS.logBytesMax) return;
  const kept = readEnd(fd, LIMITS.logBytesMax / 2);
  const firstLine = kept.indexOf('\n') + 1;
  ftruncateSync(fd, 0);
  writeSync(fd, kept.subarray(firstLine), 0, null, 0);
}
