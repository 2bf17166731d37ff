// store: copies of the records for clients, made while the daemon writes. One at a time: each takes as much room as the
// records, until it was read or given up.

import { type FileHandle, open, rm } from 'node:fs/promises';
import type { StateBackup } from '../engine/store-ports.ts';
import { VolantError } from '../lib/errors.ts';
import type { Env } from './env.ts';

const RETRY_AFTER_SECONDS = 5;

export class Backups {
  readonly #env: Env;
  #isBusy = false;

  constructor(env: Env) {
    this.#env = env;
  }

  /** OVERLOADED while there is another; STORE_UNAVAILABLE, with the cause, when there is no room. */
  async open(): Promise<StateBackup> {
    if (this.#isBusy) {
      const retry = { retryAfterSeconds: RETRY_AFTER_SECONDS };
      throw new VolantError('OVERLOADED', 'Another backup is being made', retry);
    }
    this.#isBusy = true;
    try {
      const file = await this.#copy();
      const { size } = await file.stat();
      return {
        sizeBytes: size,
        read: (position, bytesMax) => readAt(file, position, bytesMax),
        close: async () => {
          this.#isBusy = false;
          await file.close();
        },
      };
    } catch (error) {
      this.#isBusy = false;
      throw new VolantError('STORE_UNAVAILABLE', 'The backup could not be made', { cause: error });
    }
  }

  /** Without a name as soon as it is open: nothing of it is left, however the daemon ends. */
  async #copy(): Promise<FileHandle> {
    const path = this.#env.temporaryFile;
    await rm(path, { force: true });
    try {
      await this.#env.copyTo(path);
      return await open(path, 'r');
    } finally {
      await rm(path, { force: true });
    }
  }
}

async function readAt(file: FileHandle, position: number, bytesMax: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(bytesMax);
  const { bytesRead } = await file.read(buffer, 0, bytesMax, position);
  return buffer.subarray(0, bytesRead);
}
