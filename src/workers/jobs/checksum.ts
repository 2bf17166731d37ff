// workers, job: SHA-256 of files, read in pieces: other work of the thread goes on between them.

import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { digestIn } from '../../lib/digest.ts';
import type { JobArgument } from '../protocol.ts';
import { JobFault } from './fault.ts';

/** Files that were read already, as they were then. */
const known = new Map<string, string>();
const KNOWN_MAX = 1_024;

/** Lower-case hexadecimal digits. A file that has not changed since is not read again. */
export async function sha256Of(path: string): Promise<string> {
  const { size, mtimeMs, ino } = statSync(path);
  const key = `${path} ${size} ${mtimeMs} ${ino}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  const digest = hash.digest('hex');
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(key, digest);
  return digest;
}

/** MEDIA_CHECKSUM_MISMATCH. `checksum` with or without "sha256:" before it. */
export async function requireChecksum({
  path,
  name,
  checksum,
}: JobArgument<'requireChecksum'>): Promise<null> {
  const wanted = digestIn(checksum);
  const found = await sha256Of(path);
  if (found === wanted) return null;
  throw new JobFault('MEDIA_CHECKSUM_MISMATCH', `${name} has the SHA-256 ${found}, not ${wanted}`);
}
