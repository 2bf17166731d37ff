// lib: where the lines of the log go: a file that is rotated by size, or standard output. Nothing that happens to it (moved
// away, full, read-only, slow, closed) holds up or ends who writes: lines wait up to a bound, beyond it they are counted,
// and the count is told when the log works again. What a line says is log.ts's business.

import { constants, write } from 'node:fs';
import { type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { within } from './deadline.ts';

export interface LogWriterOptions {
  /** null means standard output, which is never rotated or opened again. */
  readonly file: string | null;
  /** The file is renamed to `<file>.1` when it is larger; one older file is kept. */
  readonly fileBytesMax: number;
  /** Characters of lines that wait for the destination; what comes beyond them is lost. */
  readonly queueCharactersMax: number;
  /** The line that tells how many were lost and why, with its line feed. */
  readonly lostLine: (lines: number, why: string) => string;
  /** After an error it is tried again so much later. */
  readonly retryMs: number;
  /** How often it is looked whether the file was moved away or deleted. */
  readonly lookMs: number;
}

const STANDARD_OUTPUT = 1;

/** Lines that are written together. */
const CHUNK_CHARACTERS_MAX = 64 * 1024;

/** A pipe that is full is tried again so soon: whoever reads it is only slow. */
const FULL_PIPE_RETRY_MS = 20;

/** A pipe that nobody reads must not hold the thread that opens it. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

const LINE_FEED = 0x0a;

export class LogWriter {
  readonly #options: LogWriterOptions;
  #queue: string[] = [];
  #queued = 0;
  #lost = 0;
  #why = 'more was logged than could be written';
  /** Taken from the queue and not written yet. */
  #rest: Buffer = Buffer.alloc(0);
  #isInLine = false;
  #file: OpenFile | null = null;
  #wantsReopen = false;
  #retry: NodeJS.Timeout | undefined;
  #writing: Promise<void> | null = null;

  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  /** Never throws and never waits. A line ends with its line feed. */
  write(line: string): void {
    if (this.#queued + line.length > this.#options.queueCharactersMax) {
      this.#lost += 1;
    } else {
      this.#tellLost();
      this.#put(line);
    }
    if (this.#retry === undefined) this.#begin();
  }

  /** The file is opened by its name again before the next line: somebody has moved it. */
  reopen(): void {
    this.#wantsReopen = true;
  }

  /** Resolves when all was written, when that failed, or after so long. Never rejects. */
  async flush(timeoutMs: number): Promise<void> {
    this.#begin();
    await within(this.#writing ?? Promise.resolve(), timeoutMs);
  }

  /** As `flush`, and gives the file back. A line that comes later opens it again. */
  async close(timeoutMs: number): Promise<void> {
    await this.flush(timeoutMs);
    if (this.#writing === null) await this.#giveUpFile();
  }

  #put(line: string): void {
    this.#queue.push(line);
    this.#queued += line.length;
  }

  #tellLost(): void {
    if (this.#lost === 0) return;
    this.#put(this.#options.lostLine(this.#lost, this.#why));
    this.#lost = 0;
  }

  #begin(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = null;
    });
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#takeChunk()) await this.#writeRest();
    } catch (error) {
      this.#why = error instanceof Error ? error.message : String(error);
      const isFull = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (!isFull) await this.#giveUpFile();
      const pauseMs = isFull ? FULL_PIPE_RETRY_MS : this.#options.retryMs;
      this.#retry = setTimeout(() => this.#begin(), pauseMs).unref();
    }
  }

  /** false when there is nothing to write. */
  #takeChunk(): boolean {
    if (this.#rest.length > 0) return true;
    if (this.#queue.length === 0) this.#tellLost();
    let count = 0;
    let characters = 0;
    while (count < this.#queue.length && characters < CHUNK_CHARACTERS_MAX) {
      characters += this.#queue[count]?.length ?? 0;
      count += 1;
    }
    this.#rest = Buffer.from(this.#queue.splice(0, count).join(''));
    this.#queued -= characters;
    return count > 0;
  }

  async #writeRest(): Promise<void> {
    const file = await this.#current();
    while (this.#rest.length > 0) {
      const written = file === null ? await writeOut(this.#rest) : await file.write(this.#rest);
      if (written > 0) this.#isInLine = this.#rest[written - 1] !== LINE_FEED;
      this.#rest = this.#rest.subarray(written);
    }
  }

  /** null for standard output. */
  async #current(): Promise<OpenFile | null> {
    const { file: name, fileBytesMax, lookMs } = this.#options;
    if (name === null) return null;
    let file = this.#file;
    if (file !== null && file.bytes > fileBytesMax) {
      file = await file.rotate();
    } else if (file !== null && (this.#wantsReopen || (await file.isGone(lookMs)))) {
      await file.close();
      file = null;
    }
    this.#wantsReopen = false;
    this.#file = file ?? (await OpenFile.open(name));
    return this.#file;
  }

  /** It is opened anew: the line that it was cut in ends here, since the rest may go to another file. */
  async #giveUpFile(): Promise<void> {
    if (this.#isInLine) {
      const end = this.#rest.indexOf(LINE_FEED);
      this.#rest = this.#rest.subarray(Math.max(end, 0));
      this.#isInLine = false;
      this.#lost += 1;
    }
    const file = this.#file;
    this.#file = null;
    // What it says about its end changes nothing: it was given up for an error.
    await file?.close().catch(() => undefined);
  }
}

function writeOut(bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    write(STANDARD_OUTPUT, bytes, (error, written) => (error ? reject(error) : resolve(written)));
  });
}

/** The file, as it was opened by its name. */
class OpenFile {
  readonly #name: string;
  readonly #handle: FileHandle;
  readonly #isRegular: boolean;
  #lookedAtMs = performance.now();
  bytes: number;

  private constructor(
    name: string,
    handle: FileHandle,
    { size, isRegular }: { size: number; isRegular: boolean },
  ) {
    this.#name = name;
    this.#handle = handle;
    this.bytes = size;
    this.#isRegular = isRegular;
  }

  /** Its directory is made where there is none. */
  static async open(name: string): Promise<OpenFile> {
    await mkdir(dirname(name), { recursive: true });
    const handle = await open(name, FLAGS, 0o600);
    const facts = await handle.stat();
    return new OpenFile(name, handle, { size: facts.size, isRegular: facts.isFile() });
  }

  async write(bytes: Buffer): Promise<number> {
    const { bytesWritten } = await this.#handle.write(bytes);
    // A pipe or a device has no size, and no older one beside it.
    if (this.#isRegular) this.bytes += bytesWritten;
    return bytesWritten;
  }

  /** Whether the name is not this file's any more, as far as it was looked for lately. */
  async isGone(lookMs: number): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs < lookMs) return false;
    this.#lookedAtMs = nowMs;
    const [ours, named] = await Promise.all([this.#handle.stat(), factsOf(this.#name)]);
    return named === null || named.ino !== ours.ino || named.dev !== ours.dev;
  }

  /** A new file by the same name; the same one, until it has grown as much again, where it cannot be renamed. */
  async rotate(): Promise<OpenFile> {
    // Who has moved or deleted it has done what this is for.
    const isDone = (await this.isGone(0)) || (await this.#renamed());
    if (!isDone) {
      this.bytes = 0;
      return this;
    }
    const next = await OpenFile.open(this.#name);
    await this.close();
    return next;
  }

  async #renamed(): Promise<boolean> {
    try {
      await rename(this.#name, `${this.#name}.1`);
      return true;
    } catch (error) {
      // A directory that is read-only, or a name that is taken by one: lines matter more than sizes.
      if (error instanceof Error && 'code' in error) return false;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** null when there is nothing by this name. */
async function factsOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
