// jobs, images: the contents of an image's files while it is unpacked: files with numbers for names in one directory. They
// get their names in the image when the whole tree is known. Sizes are bounded here, as they are read.

import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { TarInvalid } from './tar/tar-invalid.ts';
import type { Extent } from './tar/tar-reader.ts';

/** The limits of all contents together. */
export interface StoreBounds {
  /** Called before more is written; throws if the disk has no room for it. */
  readonly requireSpace: (bytes: number) => void;
  readonly bytesMax: number;
}

/** The free space of the disk is looked up each time this much was written. */
const SPACE_CHECK_BYTES = 64 * 1024 * 1024;
/** A directory with very many names is slow on some file systems. */
const FILES_PER_DIRECTORY = 4096;

export class FileStore {
  readonly #directory: string;
  readonly #bounds: StoreBounds;
  #next = 0;
  /** Sizes of all files, holes included, also of those that a later layer has replaced. */
  #unpackedBytes = 0;
  #writtenBytes = 0;
  #checkedAtBytes = Number.NEGATIVE_INFINITY;

  constructor(directory: string, bounds: StoreBounds) {
    this.#directory = directory;
    this.#bounds = bounds;
  }

  get unpackedBytes(): number {
    return this.#unpackedBytes;
  }

  pathOf(content: number): string {
    return join(
      this.#directory,
      String(Math.floor(content / FILES_PER_DIRECTORY)),
      String(content),
    );
  }

  /** Writes a content and returns its number. Throws TarInvalid when all of them are larger than the bound. */
  async add(sizeBytes: number, content: AsyncIterable<Extent>): Promise<number> {
    this.#unpackedBytes += sizeBytes;
    if (this.#unpackedBytes > this.#bounds.bytesMax) {
      const mebibytes = Math.floor(this.#bounds.bytesMax / 2 ** 20);
      throw new TarInvalid(`has more than ${mebibytes} MiB when it is unpacked`);
    }
    const fd = this.#open();
    try {
      // Holes stay holes.
      ftruncateSync(fd, sizeBytes);
      for await (const { offset, bytes } of content) {
        this.#require(bytes.length);
        writeAll(fd, bytes, offset);
      }
    } finally {
      closeSync(fd);
    }
    return this.#next - 1;
  }

  discard(content: number): void {
    rmSync(this.pathOf(content), { force: true });
  }

  #open(): number {
    const number = this.#next;
    this.#next += 1;
    const path = this.pathOf(number);
    if (number % FILES_PER_DIRECTORY === 0) mkdirSync(join(path, '..'), { mode: 0o700 });
    return openSync(path, 'wx', 0o600);
  }

  #require(bytes: number): void {
    this.#writtenBytes += bytes;
    if (this.#writtenBytes - this.#checkedAtBytes < SPACE_CHECK_BYTES) return;
    this.#checkedAtBytes = this.#writtenBytes;
    this.#bounds.requireSpace(SPACE_CHECK_BYTES);
  }
}

/** One write may accept fewer bytes than it was given. */
function writeAll(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
  }
}
