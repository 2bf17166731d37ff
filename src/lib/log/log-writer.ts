// lib, log: writes the lines of the log to a file that is rotated by size, or to standard output. A destination that
// is moved, full, read-only, slow or closed never blocks or ends the process: lines wait in a bounded queue, further
// ones are counted, and the count is logged when writing works again. The form of a line is defined in log.ts.

import { constants, write } from 'node:fs';
import { type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { within } from '../deadline.ts';

export interface LogWriterOptions {
  /** null: standard output, which is never rotated or reopened. */
  readonly file: string | null;
  /** A file larger than this is renamed to `<file>.1`; one older file is kept. */
  readonly fileBytesMax: number;
  /** Maximum number of characters in the queue. Further lines are lost. */
  readonly queueCharactersMax: number;
  /** Makes the line, with its line feed, that says how many lines were lost and why. */
  readonly lostLine: (lines: number, why: string) => string;
  /** Pause before a retry after an error. */
  readonly retryMs: number;
  /** How often the writer checks whether the file was moved or deleted. */
  readonly checkMs: number;
}

const STANDARD_OUTPUT = 1;

/** Maximum size of one write. */
const CHUNK_CHARACTERS_MAX = 64 * 1024;

/** Pause before a retry on a full pipe: its reader is only slow. */
const FULL_PIPE_RETRY_MS = 20;

/** Non-blocking: opening a pipe without a reader must not block the thread. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

const LINE_FEED = 0x0a;

/** Writes lines in the background, in order. */
export class LogWriter {
  readonly #options: LogWriterOptions;
  #queue: string[] = [];
  #queued = 0;
  #lost = 0;
  #why = 'more was logged than could be written';
  /** Bytes that were taken from the queue and not written yet. */
  #rest: Buffer = Buffer.alloc(0);
  #isMidLine = false;
  #file: OpenFile | null = null;
  #wantsReopen = false;
  #retry: NodeJS.Timeout | undefined;
  #writing: Promise<void> | null = null;

  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  /** Queues a line, which ends with a line feed. Never throws and never waits. */
  write(line: string): void {
    if (this.#queued + line.length > this.#options.queueCharactersMax) {
      this.#lost += 1;
    } else {
      this.#logLost();
      this.#put(line);
    }
    if (this.#retry === undefined) this.#begin();
  }

  /** Reopens the file before the next line, because it was moved. */
  reopen(): void {
    this.#wantsReopen = true;
  }

  /** Resolves when all is written, when that failed, or after the timeout. Never rejects. */
  async flush(timeoutMs: number): Promise<void> {
    this.#begin();
    await within(this.#writing ?? Promise.resolve(), timeoutMs);
  }

  /** Like `flush`, then closes the file. A later line opens it again. */
  async close(timeoutMs: number): Promise<void> {
    await this.flush(timeoutMs);
    if (this.#writing === null) await this.#dropFile();
  }

  #put(line: string): void {
    this.#queue.push(line);
    this.#queued += line.length;
  }

  #logLost(): void {
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
      if (!isFull) await this.#dropFile();
      const pauseMs = isFull ? FULL_PIPE_RETRY_MS : this.#options.retryMs;
      this.#retry = setTimeout(() => this.#begin(), pauseMs).unref();
    }
  }

  /** Takes the next chunk of the queue. false: there is nothing to write. */
  #takeChunk(): boolean {
    if (this.#rest.length > 0) return true;
    if (this.#queue.length === 0) this.#logLost();
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
      if (written > 0) this.#isMidLine = this.#rest[written - 1] !== LINE_FEED;
      this.#rest = this.#rest.subarray(written);
    }
  }

  /** Returns the file to write to, after rotating or reopening it; null for standard output. */
  async #current(): Promise<OpenFile | null> {
    const { file: name, fileBytesMax, checkMs } = this.#options;
    if (name === null) return null;
    let file = this.#file;
    if (file !== null && file.bytes > fileBytesMax) {
      file = await file.rotate();
    } else if (file !== null && (this.#wantsReopen || (await file.isGone(checkMs)))) {
      await file.close();
      file = null;
    }
    this.#wantsReopen = false;
    this.#file = file ?? (await OpenFile.open(name));
    return this.#file;
  }

  /** Closes the file after an error. A line that was written in part ends here, because the rest may go to another file. */
  async #dropFile(): Promise<void> {
    if (this.#isMidLine) {
      const end = this.#rest.indexOf(LINE_FEED);
      this.#rest = this.#rest.subarray(Math.max(end, 0));
      this.#isMidLine = false;
      this.#lost += 1;
    }
    const file = this.#file;
    this.#file = null;
    // The file is given up in any case.
    await file?.close().catch(() => undefined);
  }
}

function writeOut(bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    write(STANDARD_OUTPUT, bytes, (error, written) => (error ? reject(error) : resolve(written)));
  });
}

/** An open log file. */
class OpenFile {
  readonly #name: string;
  readonly #handle: FileHandle;
  readonly #isRegular: boolean;
  #checkedAtMs = performance.now();
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

  /** Opens the file, and creates its directory. */
  static async open(name: string): Promise<OpenFile> {
    await mkdir(dirname(name), { recursive: true });
    const handle = await open(name, FLAGS, 0o600);
    const facts = await handle.stat();
    return new OpenFile(name, handle, { size: facts.size, isRegular: facts.isFile() });
  }

  async write(bytes: Buffer): Promise<number> {
    const { bytesWritten } = await this.#handle.write(bytes);
    // A pipe or a device has no size and is not rotated.
    if (this.#isRegular) this.bytes += bytesWritten;
    return bytesWritten;
  }

  /** Whether the name means another file now. Checks at most once in `lookMs`. */
  async isGone(checkMs: number): Promise<boolean> {
    const nowMs = performance.now();
    if (nowMs - this.#checkedAtMs < checkMs) return false;
    this.#checkedAtMs = nowMs;
    const [ours, named] = await Promise.all([this.#handle.stat(), factsOf(this.#name)]);
    return named === null || named.ino !== ours.ino || named.dev !== ours.dev;
  }

  /** Renames the file and opens a new one. If it cannot be renamed, the same file grows by the same size again. */
  async rotate(): Promise<OpenFile> {
    // If it was moved or deleted, only a new one is needed.
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
      // For example a read-only directory, or a directory with the new name. Keeping lines matters more than the
      // size.
      if (error instanceof Error && 'code' in error) return false;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Returns null when there is no file of this name. */
async function factsOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
