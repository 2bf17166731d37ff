// jobs, media: a partial download: a file with the bytes so far, and a JSON file with the version that they belong
// to. Both outlive the job and the daemon, so that the next attempt resumes.

import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm, utimes, writeFile } from 'node:fs/promises';
import { readJson } from '../durable.ts';

const READ_BYTES = 1024 * 1024;

/** The validators of a version (RFC 9110, 8.8): what a request for the rest of it needs. */
export interface Validators {
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** A version of a file, as the server described it with its first byte. */
export interface Version extends Validators {
  /** Size of the whole file; null when the server did not say. */
  readonly totalBytes: number | null;
}

export const NO_VERSION: Version = { etag: null, lastModified: null, totalBytes: null };

/** A partial download and the running digest of its content. */
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

  /** Opens a partial file and hashes its content, which takes long for a large one. */
  static async open(path: string, signal: AbortSignal): Promise<PartialFile> {
    const version = readVersion(`${path}.json`);
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const file = new PartialFile(path, handle, { ...NO_VERSION, ...version });
    try {
      // The cache must not take it for an abandoned one.
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

  /** Some bytes are from an earlier connection. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /** The validator for a request of the rest of this version only; null when there is none. */
  get condition(): string | null {
    const { etag, lastModified } = this.#version;
    // A weak validator does not promise the same bytes (RFC 9110, 13.1.5).
    return etag?.startsWith('W/') ? null : (etag ?? lastModified);
  }

  /** The version that the bytes belong to. */
  get version(): Version {
    return this.#version;
  }

  /** Starts again at the first byte. The old content is removed before the new version is recorded. */
  async begin(version: Version): Promise<void> {
    await this.#handle.truncate(0);
    this.#bytes = 0;
    this.#resumed = false;
    this.#hash = createHash('sha256');
    this.#version = version;
    await writeFile(`${this.path}.json`, JSON.stringify(version), { mode: 0o600 });
  }

  /** Continues with the bytes of another connection. */
  resume(): void {
    this.#resumed = true;
  }

  async append(piece: Uint8Array): Promise<void> {
    // One write may accept fewer bytes than it was given.
    for (let done = 0; done < piece.length; ) {
      const rest = piece.length - done;
      const { bytesWritten } = await this.#handle.write(piece, done, rest, this.#bytes + done);
      done += bytesWritten;
    }
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }

  /** Syncs the content to disk and returns its digest. */
  async finish(): Promise<string> {
    await this.#handle.truncate(this.#bytes);
    await this.#handle.sync();
    return this.#hash.copy().digest('hex');
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** Removes both files. The content may have got another name before. */
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

/** A file that a power failure left incomplete counts as missing. */
function readVersion(path: string): Partial<Version> | null {
  try {
    return readJson(path) as Partial<Version> | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
