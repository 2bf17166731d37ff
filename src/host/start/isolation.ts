// host, start: checks whether this host can isolate hypervisors, by building a sandbox once before the daemon serves.
// A daemon that is to isolate and cannot does not start, and says what is missing.

import { readFileSync } from 'node:fs';
import { LIMITS } from '../../config/limits.ts';
import { firstUidOf } from '../../config/readers.ts';
import { type Config, ConfigError } from '../../config.ts';
import { native } from '../jobs/native.ts';

/** Capabilities that building a sandbox needs, with their numbers from capabilities(7). */
const NEEDED: Readonly<Record<string, number>> = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_ADMIN: 21,
  CAP_MKNOD: 27,
};

const REMEDY =
  'Give volantd what it lacks, or set VOLANT_ISOLATION=off: then hypervisors run as the daemon does, and a guest that breaks out of one has what the daemon has.';

type Settings = Pick<
  Config,
  'isolation' | 'uidBase' | 'hostTag' | 'runtimeDirectory' | 'diskDirectory' | 'cacheDirectory'
>;

/**
 * Hypervisors see this directory of the host unchanged, and the daemon's own directories there are closed to other
 * users.
 */
const HOST_PROGRAMS = '/usr/';

/** Throws ConfigError when isolation is set and not possible. */
export function requireIsolation(config: Settings): void {
  if (config.isolation === 'off') return;
  const { runtimeDirectory, diskDirectory, cacheDirectory } = config;
  const problems = [runtimeDirectory, diskDirectory, cacheDirectory].flatMap((directory) =>
    directory.startsWith(HOST_PROGRAMS)
      ? `VOLANT_ISOLATION: ${directory} is below ${HOST_PROGRAMS}, where hypervisors have no files of their own: choose another VOLANT_HOME`
      : [],
  );
  if (problems.length > 0) throw new ConfigError(problems);
  try {
    native.sandboxTry({
      cwd: runtimeDirectory,
      sandbox: {
        uid: firstUidOf(config, LIMITS.hypervisorUidsMax),
        capabilities: [],
        hostNetwork: false,
        readOnly: [],
        readWrite: [runtimeDirectory],
        devices: [],
        tasksMax: LIMITS.hypervisorTasksMax,
        filesMax: LIMITS.hypervisorFilesMax,
        lockedBytesMax: 0,
      },
    });
  } catch (error) {
    const why = `VOLANT_ISOLATION: hypervisors cannot be isolated on this host, ${causeOf(error)}.`;
    throw new ConfigError([`${why} ${REMEDY}`]);
  }
}

function causeOf(error: unknown): string {
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  const step = `${syscall}${path ? ` (${path})` : ''}: ${code}`;
  if (code === 'ENOSYS') return `the kernel is older than Linux 5.12 (${step})`;
  const missing = missingCapabilities();
  if (missing.length > 0) return `volantd lacks ${missing.join(', ')} (${step})`;
  return `which refuses a step of it (${step})`;
}

/** Returns the needed capabilities that this process lacks, by the line CapEff of proc(5). */
function missingCapabilities(): readonly string[] {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return Object.entries(NEEDED).flatMap(([name, bit]) =>
    ((effective >> BigInt(bit)) & 1n) === 0n ? [name] : [],
  );
}
