// store: copies of the records for clients, made while the daemon writes. Only one exists at a time, because it takes
// as much disk space as the records until it is closed.

import { type FileHandle, open, rm } from 'node:fs/promises';
import type { StateBackup } from '../engine/ports/store-ports.ts';
import { VolantError } from '../lib/errors.ts';
import type { Env } from './env.ts';

const RETRY_AFTER_SECONDS = 5;

/** Makes backups, one at a time. */
export class Backups {
  readonly #env: Env;
  #isBusy = false;

  constructor(env: Env) {
    this.#env = env;
  }

  /**
   * Makes a copy and opens it. Rejects with OVERLOADED while another one is open, and with STORE_UNAVAILABLE when the
   * copy fails.
   */
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

  /** The file is unlinked as soon as it is open, so nothing is left however the daemon ends. */
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
