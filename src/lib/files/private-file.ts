// lib, files: small files that others must not read, such as keys. They are read whole, up to a bound, and replaced
// atomically.

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** The content, and a mark that changes when the file is renamed or written. */
export interface PrivateFile {
  readonly text: string;
  readonly mark: string;
}

/**
 * Who may read a file besides its owner. `owner`: nobody, and the owner is root or this user. `group`: its group.
 * `public`: everybody. Only the owner may ever write it.
 */
export type Secrecy = 'owner' | 'group' | 'public';

const FORBIDDEN_MODE: Readonly<Record<Secrecy, number>> = {
  owner: 0o077,
  group: 0o027,
  public: 0o022,
};

/**
 * Reads a file. Rejects with the system's error when it cannot be read, and with a sentence about its mode or owner
 * when others may read or change it.
 */
export async function readPrivateFile(
  path: string,
  bytesMax: number,
  secrecy: Secrecy,
): Promise<PrivateFile> {
  const file = await open(path, 'r');
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error('it is not a file');
    if ((stat.mode & FORBIDDEN_MODE[secrecy]) !== 0) {
      const mode = (stat.mode & 0o777).toString(8);
      const remedy = secrecy === 'public' ? 'go-w' : '600';
      throw new Error(`others may use it (mode ${mode}): chmod ${remedy} ${path}`);
    }
    if (secrecy === 'owner' && stat.uid !== 0 && stat.uid !== process.getuid?.()) {
      throw new Error(`it belongs to user ${stat.uid}: chown it to the user of the daemon`);
    }
    if (stat.size > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`);
    // One byte more, so that a file that grows during the reading is noticed.
    return { text: await readAtMost(file, stat.size + 1), mark: markOf(stat) };
  } finally {
    await file.close();
  }
}

/** Returns a text that changes when the file changes. */
export function markOf(stat: {
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}): string {
  return `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`;
}

async function readAtMost(file: FileHandle, bytesMax: number): Promise<string> {
  const buffer = Buffer.alloc(bytesMax);
  let length = 0;
  while (length < bytesMax) {
    const { bytesRead } = await file.read(buffer, length, bytesMax - length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.toString('utf8', 0, length);
}

/**
 * Replaces the file by the result of `change`, readable by its owner only. A crash leaves the old or the new file.
 * Rejects with EEXIST while another process changes it, or after one was killed doing so: the error's `path` is the
 * file to remove.
 */
export async function changePrivateFile(
  path: string,
  change: () => Promise<string>,
): Promise<void> {
  // Created exclusively, so it is also the lock.
  await replaceBy(path, await open(`${path}.new`, 'wx', 0o600), `${path}.new`, change);
}

/** Like changePrivateFile, for a file that only this process writes: the leftover of a killed process is removed. */
export async function replacePrivateFile(path: string, text: string): Promise<void> {
  await rm(`${path}.new`, { force: true });
  await changePrivateFile(path, async () => text);
}

async function replaceBy(
  path: string,
  file: FileHandle,
  next: string,
  change: () => Promise<string>,
): Promise<void> {
  try {
    try {
      await file.writeFile(await change());
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes the new name durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Describes an error of a file as the end of a sentence. */
export function fileProblem(path: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return `${path} is not there`;
  if (code === 'EACCES') return `${path} may not be read by this user`;
  return `${basename(path)} cannot be used: ${error instanceof Error ? error.message : error} (${path})`;
}
