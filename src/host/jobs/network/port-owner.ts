// jobs, network: finds the program that holds a port of the host, by reading /proc.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { errnoOf } from '../fault.ts';
import type { JobArgument } from '../protocol.ts';

/** The state of a TCP socket that listens (include/net/tcp_states.h). */
const LISTENING = '0A';
/** Columns of /proc/net/tcp and /proc/net/udp (Documentation/networking/proc_net_tcp.rst). */
const LOCAL_ADDRESS = 1;
const STATE = 3;
const INODE = 9;

/** Returns "nginx (process 812)"; null when no program holds the port any more, or it cannot be seen from here. */
export function findPortOwner({ protocol, port }: JobArgument<'findPortOwner'>): string | null {
  const inodes = new Set(
    [`/proc/net/${protocol}`, `/proc/net/${protocol}6`].flatMap((table) =>
      inodesIn(readIfPresent(table), port, protocol),
    ),
  );
  if (inodes.size === 0) return null;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (!hasSocket(pid, inodes)) continue;
    const name = readIfPresent(`/proc/${pid}/comm`).trim();
    return `${name} (process ${pid})`;
  }
  return null;
}

function inodesIn(table: string, port: number, protocol: 'tcp' | 'udp'): string[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => {
      const local = Number.parseInt(columns[LOCAL_ADDRESS]?.split(':')[1] ?? '', 16);
      return local === port && (protocol === 'udp' || columns[STATE] === LISTENING);
    })
    .flatMap((columns) => columns[INODE] ?? []);
}

function hasSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkIfPresent(`${directory}/${fd}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    });
  } catch (error) {
    return passOver(error, false);
  }
}

function readIfPresent(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return passOver(error, '');
  }
}

function readlinkIfPresent(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    return passOver(error, '');
  }
}

/** Processes may end during the reading, and some belong to other users. */
function passOver<T>(error: unknown, instead: T): T {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) return instead;
  throw error;
}
