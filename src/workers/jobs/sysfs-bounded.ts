// workers, job: files of sysfs that the kernel may take for ever over. It holds a device locked while it waits for
// who has it open, and nothing can interrupt who waits for that lock, not even SIGKILL: each access is made by a
// process of its own, which is left behind when its time is over. That process has a lock of ours on the device for
// as long as it lives, so that nobody lines up behind it.

import { spawn } from 'node:child_process';
import { LIMITS } from '../../config.ts';
import type { HostSettings } from '../protocol.ts';
import { JobFault } from './fault.ts';
import { deviceDirectory } from './pci.ts';

/** Another process, one that was left behind, has the lock; sysexits.h calls this status EX_TEMPFAIL. */
const STATUS_LOCKED = 75;

/**
 * The lock is on the directory of the device: it leaves no file behind. Who was killed a moment ago may have it still.
 * The printf of coreutils says why the kernel refused, that of the shell does not.
 */
const LOCK = `exec 9<"$1"; flock -w 1 9 || exit ${STATUS_LOCKED};`;
const WRITE = `${LOCK} exec /usr/bin/env printf %s "$2" >"$3"`;
const READ = `${LOCK} exec cat "$2"`;

const OUTPUT_CHARACTERS_MAX = 512;
const ENVIRONMENT = { PATH: '/usr/sbin:/sbin:/usr/bin:/bin', LC_ALL: 'C' };

interface Access {
  readonly settings: HostSettings;
  readonly address: string;
  readonly file: string;
  /** For the message: what the kernel was asked to do with the device. */
  readonly doing: string;
}

/** DEVICE_BUSY when the kernel does not come back in time, DEVICE_FAILED with its reason when it refuses. */
export async function writeSysfs(access: Access & { readonly text: string }): Promise<void> {
  await accessSysfs(access, WRITE, [access.text, access.file]);
}

/** What is in the file, without spaces around it. Rejects as writeSysfs does. */
export async function readSysfs(access: Access): Promise<string> {
  return (await accessSysfs(access, READ, [access.file])).trim();
}

async function accessSysfs(
  { settings, address, file, doing }: Access,
  script: string,
  args: readonly string[],
): Promise<string> {
  const directory = deviceDirectory(settings.sysfsRoot, address);
  const ended = await runBounded('sh', ['-c', script, 'sh', directory, ...args]);
  if (ended.status === 0) return ended.printed;
  const asked = `device ${address}: asked to ${doing}`;
  if (ended.status === STATUS_LOCKED) {
    const why = `The kernel has not come back yet to ${address}: something still holds the device`;
    throw new JobFault('DEVICE_BUSY', why, file);
  }
  if (ended.status === null) {
    const seconds = LIMITS.deviceTimeoutMs / 1000;
    const why = `The kernel has not come back after ${seconds} s to ${asked}; something holds it`;
    throw new JobFault('DEVICE_BUSY', why, file);
  }
  const reason = ended.said.trim().split(': ').at(-1) || `status ${ended.status}`;
  throw new JobFault('DEVICE_FAILED', `The kernel refused ${asked}: ${reason}`, ended.said);
}

interface Ended {
  /** null when it was left behind after LIMITS.deviceTimeoutMs. */
  readonly status: number | null;
  readonly printed: string;
  /** On its standard error. */
  readonly said: string;
}

/** Runs a command, for as long as it may take. */
export function runBounded(command: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: ENVIRONMENT,
    });
    let printed = '';
    let said = '';
    const timer = setTimeout(() => {
      // It may be beyond signals; then it ends when the device is let go.
      child.kill('SIGKILL');
      child.unref();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ status: null, printed, said });
    }, LIMITS.deviceTimeoutMs);
    child.stdout.on('data', (chunk) => {
      printed = (printed + chunk).slice(0, OUTPUT_CHARACTERS_MAX);
    });
    child.stderr.on('data', (chunk) => {
      said = (said + chunk).slice(0, OUTPUT_CHARACTERS_MAX);
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') reject(error);
      else resolve({ status: 127, printed, said: `${command}: not installed` });
    });
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ status: status ?? 128, printed, said: said || String(signal ?? '') });
    });
  });
}
