// load, generator: the raw lines of one process: a line for each operation, in the order in which they ended.

import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { LOAD_LIMITS } from '../load-limits.ts';

/** Times are milliseconds since the start of the run. */
export const RAW_COLUMNS =
  'phase,kind,operation,process,flow,intended_ms,start_ms,end_ms,outcome,code';

export interface RawLine {
  readonly phase: string;
  readonly kind: string;
  readonly operation: string;
  /** Of the flow: all its steps have the same. */
  readonly flow: string;
  readonly intendedMs: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly outcome: string;
  /** Empty for `succeeded`. */
  readonly code: string;
}

export class RawFile {
  readonly #stream: WriteStream;
  readonly #process: number;
  #error: Error | undefined;
  linesLost = 0;

  constructor(path: string, processIndex: number) {
    this.#process = processIndex;
    this.#stream = createWriteStream(path, { flags: 'w', mode: 0o600 });
    this.#stream.on('error', (error) => {
      this.#error = error;
    });
  }

  /** Leaves the line out when too many wait for the disk, or when the file cannot be written. */
  write(line: RawLine): void {
    const isFull = this.#stream.writableLength > LOAD_LIMITS.rawBufferBytesMax;
    if (isFull || this.#error !== undefined) {
      this.linesLost += 1;
      return;
    }
    const fields = [
      quoted(line.phase),
      line.kind,
      line.operation,
      this.#process,
      line.flow,
      line.intendedMs.toFixed(3),
      line.startMs.toFixed(3),
      line.endMs.toFixed(3),
      line.outcome,
      quoted(line.code),
    ];
    this.#stream.write(`${fields.join(',')}\n`);
  }

  /** Throws the error of the disk. */
  async close(): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    this.#stream.end();
    await finished(this.#stream);
  }
}

/** As RFC 4180 has it. */
function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
