// cli, copy: an archive from a guest that becomes local files. The guest is not trusted: nothing is written outside of the
// directory, and only below the name that the copy has there. Files are written synchronously: this process does nothing else,
// and a small file costs a tenth of what it does by way of other threads.

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Tally } from './local-reader.ts';
import { type ReadEntry, readTar } from './tar-reader.ts';

export interface LocalTarget {
  readonly directory: string;
  /** The name of the first entry; "." for the content of a directory. */
  readonly as: string;
  /** Owners are those of the guest. */
  readonly keepsOwners: boolean;
}

/** The guest sent something that would be written elsewhere. */
export class UnsafeArchive extends Error {
  override readonly name = 'UnsafeArchive';
}

/** Resolves when everything is there. What was written before an error stays. */
export async function unpackLocal(
  archive: AsyncIterable<Uint8Array>,
  target: LocalTarget,
  tally: Tally,
): Promise<void> {
  const writer = new LocalWriter(target, tally);
  for await (const entry of readTar(archive)) await writer.take(entry);
  writer.finish();
}

class LocalWriter {
  readonly #target: LocalTarget;
  readonly #tally: Tally;
  /** Directories that the next entry may be in, outermost first: their times are set when all is in them. */
  readonly #open: { readonly path: string; readonly mtimeMs: number }[] = [];
  /** The last directory of which every part was checked. */
  #checked = '';

  constructor(target: LocalTarget, tally: Tally) {
    this.#target = target;
    this.#tally = tally;
  }

  async take(entry: ReadEntry): Promise<void> {
    const segments = this.#segmentsOf(entry.path);
    // The directory itself stays as it is.
    if (segments.length === 0) return;
    const path = segments.join('/');
    this.#leave(path);
    this.#check(segments.slice(0, -1));
    const at = join(this.#target.directory, path);
    if (entry.type === 'other') {
      this.#tally.skipped += 1;
      return;
    }
    if (entry.type === 'directory') this.#makeDirectory(at, path, entry);
    else if (entry.type === 'file') await this.#writeFile(at, entry);
    else this.#makeLink(at, entry);
    this.#tally.entries += 1;
  }

  finish(): void {
    this.#leave(null);
  }

  /** Throws UnsafeArchive for a path that leads elsewhere. */
  #segmentsOf(path: string): string[] {
    const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
    const isOut = segments.includes('..') || path.startsWith('/') || path.includes('\0');
    const { as } = this.#target;
    if (isOut || (as !== '.' && segments[0] !== as)) {
      throw new UnsafeArchive(`The guest sent an entry that does not belong there: ${path}`);
    }
    return segments;
  }

  /** No part of the way may be a link: it would lead out. */
  #check(segments: readonly string[]): void {
    const way = segments.join('/');
    if (way === this.#checked) return;
    for (let depth = 1; depth <= segments.length; depth += 1) {
      const part = join(this.#target.directory, ...segments.slice(0, depth));
      const facts = lstatSync(part);
      if (!facts.isDirectory())
        throw new UnsafeArchive(`${part} is no directory; nothing is written through it`);
    }
    this.#checked = way;
  }

  #makeDirectory(at: string, path: string, entry: ReadEntry): void {
    try {
      mkdirSync(at, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (!lstatSync(at).isDirectory())
        throw new UnsafeArchive(`${at} is there and is no directory`);
    }
    if (this.#target.keepsOwners) lchownSync(at, entry.uid, entry.gid);
    chmodSync(at, this.#modeOf(entry));
    this.#open.push({ path, mtimeMs: entry.mtimeMs });
  }

  /** Under another name first: a reader sees the old file or the new one. */
  async #writeFile(at: string, entry: ReadEntry): Promise<void> {
    const temporary = join(
      dirname(at),
      `.${basename(at).slice(0, 200)}.${randomBytes(6).toString('hex')}`,
    );
    const file = openSync(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL,
      0o600,
    );
    try {
      for await (const piece of entry.content()) {
        writeAll(file, piece);
        this.#tally.bytes += piece.length;
      }
      if (this.#target.keepsOwners) fchownSync(file, entry.uid, entry.gid);
      fchmodSync(file, this.#modeOf(entry));
      futimesSync(file, entry.mtimeMs / 1000, entry.mtimeMs / 1000);
      renameSync(temporary, at);
    } catch (error) {
      unlinkSync(temporary);
      throw error;
    } finally {
      closeSync(file);
    }
  }

  #makeLink(at: string, entry: ReadEntry): void {
    const target = entry.type === 'hard link' ? this.#segmentsOf(entry.target) : [];
    if (entry.type === 'hard link') this.#check(target.slice(0, -1));
    removeFile(at);
    if (entry.type === 'hard link') {
      linkSync(join(this.#target.directory, ...target), at);
      return;
    }
    symlinkSync(entry.target, at);
    if (this.#target.keepsOwners) lchownSync(at, entry.uid, entry.gid);
    lutimesSync(at, entry.mtimeMs / 1000, entry.mtimeMs / 1000);
  }

  /** Without its owner no program of a guest gets the rights of another user here. */
  #modeOf({ mode }: ReadEntry): number {
    return this.#target.keepsOwners ? mode : mode & 0o777;
  }

  /** Sets the times of the directories that the path is not in. */
  #leave(path: string | null): void {
    for (;;) {
      const last = this.#open.at(-1);
      if (last === undefined || path?.startsWith(`${last.path}/`)) return;
      this.#open.pop();
      const at = join(this.#target.directory, last.path);
      utimesSync(at, last.mtimeMs / 1000, last.mtimeMs / 1000);
    }
  }
}

/** Removes what is in the place of a link. A directory is an error. */
function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** A write to a file may take a part only, as on a disk that becomes full. */
function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}
