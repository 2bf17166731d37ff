// lib: small files that nobody else may read, such as keys. They are read whole and bounded, and
// replaced at once or not at all.

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** What was there, and whether it has changed since: a rename or a write gives another mark. */
export interface PrivateFile {
  readonly text: string;
  readonly mark: string;
}

/**
 * Who may use a file beside its owner. `owner`: nobody, and the owner is root or this user. `group`: its
 * group may read it. `public`: everybody may read it. Nobody else may ever write it.
 */
export type Secrecy = 'owner' | 'group' | 'public';

const FORBIDDEN_MODE: Readonly<Record<Secrecy, number>> = {
  owner: 0o077,
  group: 0o027,
  public: 0o022,
};

/**
 * Rejects with the system's error when it cannot be read, and with a sentence about its mode or owner
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
    // One byte more, so that a file that grows meanwhile is seen to.
    return { text: await readAtMost(file, stat.size + 1), mark: markOf(stat) };
  } finally {
    await file.close();
  }
}

/** Another text whenever the file is another one. */
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
 * Replaces it by what `change` resolves with, for its owner alone; a crash leaves the old or the new one.
 * Rejects with EEXIST while another process does so, or was killed while it did: `path` of the error is
 * the file that is in the way.
 */
export async function changePrivateFile(
  path: string,
  change: () => Promise<string>,
): Promise<void> {
  // Made exclusively, so it is the lock of whoever changes the file, too.
  await replaceBy(path, await open(`${path}.new`, 'wx', 0o600), `${path}.new`, change);
}

/** The same for a file that this process alone writes: what a killed one left is in nobody's way. */
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

/** So that the new name itself is on disk. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** What went wrong with a file, as the end of a sentence. */
export function fileProblem(path: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return `${path} is not there`;
  if (code === 'EACCES') return `${path} may not be read by this user`;
  return `${basename(path)} cannot be used: ${error instanceof Error ? error.message : error} (${path})`;
}
