// jobs, devices: accesses files of sysfs on which the kernel may block forever. The kernel locks a device while it
// waits for its users. A process that waits for that lock cannot be interrupted, not even by SIGKILL. So each access
// is made by a child process, which is abandoned after its deadline. The child holds a file lock on the device's
// directory as long as it lives, so that later accesses do not queue behind it.

import { LIMITS } from '../../../config/limits.ts';
import { JobFault } from '../fault.ts';
import type { HostSettings } from '../protocol.ts';
import { runOrLeave } from '../run-program.ts';
import { deviceDirectory } from './pci.ts';

/** Exit status when an abandoned child still has the lock; sysexits.h calls it EX_TEMPFAIL. */
const STATUS_LOCKED = 75;

/**
 * The lock is on the device's directory, so it leaves no file behind. A process that was just killed may still have
 * it. The printf of coreutils prints why the kernel refused, that of the shell does not.
 */
const LOCK = `exec 9<"$1"; flock -w 1 9 || exit ${STATUS_LOCKED};`;
const WRITE = `${LOCK} exec /usr/bin/env printf %s "$2" >"$3"`;
const READ = `${LOCK} exec cat "$2"`;

interface Access {
  readonly settings: HostSettings;
  readonly address: string;
  readonly file: string;
  /** What the kernel was asked to do with the device, for the message. */
  readonly doing: string;
}

/**
 * Writes a file. Throws DEVICE_BUSY when the kernel does not return in time, DEVICE_FAILED with its reason when it
 * refuses.
 */
export async function writeSysfs(access: Access & { readonly text: string }): Promise<void> {
  await accessSysfs(access, WRITE, [access.text, access.file]);
}

/** Reads a file and trims its text. Throws as writeSysfs does. */
export async function readSysfs(access: Access): Promise<string> {
  return (await accessSysfs(access, READ, [access.file])).trim();
}

async function accessSysfs(
  { settings, address, file, doing }: Access,
  script: string,
  args: readonly string[],
): Promise<string> {
  const directory = deviceDirectory(settings.sysfsRoot, address);
  const argv = ['-c', script, 'sh', directory, ...args];
  const ended = await runOrLeave('sh', argv, LIMITS.deviceTimeoutMs);
  if (ended.status === 0) return ended.printed;
  const asked = `device ${address}: asked to ${doing}`;
  if (ended.status === STATUS_LOCKED) {
    const why = `The kernel still blocks on device ${address}: something holds it`;
    throw new JobFault('DEVICE_BUSY', why, file);
  }
  if (ended.status === null) {
    const seconds = LIMITS.deviceTimeoutMs / 1000;
    const why = `The kernel has blocked for ${seconds} s on ${asked}; something holds it`;
    throw new JobFault('DEVICE_BUSY', why, file);
  }
  const reason = ended.said.trim().split(': ').at(-1) || `status ${ended.status}`;
  throw new JobFault('DEVICE_FAILED', `The kernel refused ${asked}: ${reason}`, ended.said);
}
