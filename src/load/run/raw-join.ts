// load, run: makes one raw file of those of the generator processes.

import { createReadStream, createWriteStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { RAW_COLUMNS } from '../generator/raw-file.ts';

/** Adds the parts in their order, and removes each. A part that is not there is left out: its process wrote nothing. */
export async function joinRaw(rawFile: string, parts: readonly string[]): Promise<void> {
  await writeFile(rawFile, `${RAW_COLUMNS}\n`, { mode: 0o600 });
  for (const part of parts) {
    try {
      await pipeline(createReadStream(part), createWriteStream(rawFile, { flags: 'a' }));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await rm(part, { force: true });
  }
}
