// workers: what has arrived of a download, in a file with a note of the version that it belongs to. It
// outlives its job and the daemon: the next try goes on where this one ended.

import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm, utimes, writeFile } from 'node:fs/promises';
import { readJson } from './durable.ts';

const READ_BYTES = 1024 * 1024;

/** What the server said about a version of the file: enough to ask for the rest of it. */
export interface Validators {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** A version of a file as far as it was told when its first byte came. */
export interface Version extends Validators {
  /** Of the whole file; null when the server did not say. */
  readonly totalBytes: number | null;
}

export const NO_VERSION: Version = { etag: null, lastModified: null, totalBytes: null };

export class PartialFile {
  readonly path: string;
  readonly #handle: FileHandle;
  #hash: Hash = createHash('sha256');
  #version: Version;
  #bytes = 0;
  #resumed = false;

  private constructor(path: string, handle: FileHandle, version: Version) {
    this.path = path;
    this.#handle = handle;
    this.#version = version;
  }

  /** With what is there already; that is read once, which takes long for a large one. */
  static async open(path: string, signal: AbortSignal): Promise<PartialFile> {
    const version = readVersion(`${path}.json`);
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const file = new PartialFile(path, handle, { ...NO_VERSION, ...version });
    try {
      // Nobody shall take it for one that was given up.
      await utimes(path, Date.now() / 1000, Date.now() / 1000);
      if (file.condition !== null) await file.#readAll(signal);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Some of it is from another connection. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /** By what the rest of this version can be asked for, and of no other; null when it cannot. */
  get condition(): string | null {
    const { etag, lastModified } = this.#version;
    // A weak validator does not promise the same bytes (RFC 9110, 13.1.5).
    return etag?.startsWith('W/') ? null : (etag ?? lastModified);
  }

  /** The version that this is a part of. */
  get version(): Version {
    return this.#version;
  }

  /** From the first byte. The old content goes before the note of the new one is there. */
  async begin(version: Version): Promise<void> {
    await this.#handle.truncate(0);
    this.#bytes = 0;
    this.#resumed = false;
    this.#hash = createHash('sha256');
    this.#version = version;
    await writeFile(`${this.path}.json`, JSON.stringify(version), { mode: 0o600 });
  }

  /** What comes next is from another connection. */
  goOn(): void {
    this.#resumed = true;
  }

  async append(piece: Uint8Array): Promise<void> {
    // One write may take less than it was given.
    for (let done = 0; done < piece.length; ) {
      const rest = piece.length - done;
      const { bytesWritten } = await this.#handle.write(piece, done, rest, this.#bytes + done);
      done += bytesWritten;
    }
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }

  /** The content is on disk. Returns its digest. */
  async finish(): Promise<string> {
    await this.#handle.truncate(this.#bytes);
    await this.#handle.sync();
    return this.#hash.copy().digest('hex');
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** File and note; the file may have got another name before. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await rm(`${this.path}.json`, { force: true });
  }

  async #readAll(signal: AbortSignal): Promise<void> {
    const buffer = Buffer.alloc(READ_BYTES);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#handle.read(buffer, 0, READ_BYTES, this.#bytes);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#bytes += bytesRead;
    }
  }
}

/** A note that was cut off by a power failure is worth as much as none. */
function readVersion(path: string): Partial<Version> | null {
  try {
    return readJson(path) as Partial<Version> | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
