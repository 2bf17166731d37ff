// workers, job: SHA-256 of files, read in pieces: other work of the thread goes on between them.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { JobArgument } from '../protocol.ts';

/** Lower-case hexadecimal digits. */
export async function sha256Of({ path }: JobArgument<'sha256Of'>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}
