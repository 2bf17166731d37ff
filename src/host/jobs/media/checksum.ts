// jobs, media: SHA-256 of files. A file is read in chunks, so that other jobs of the thread continue between them.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { JobArgument } from '../protocol.ts';

/** Returns the digest of a file in lower-case hexadecimal digits. */
export async function sha256Of({ path }: JobArgument<'sha256Of'>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}
