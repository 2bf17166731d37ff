// cli: where a command reads and writes. Commands know these streams and nothing of the process.

import type { Readable, Writable } from 'node:stream';

export interface Terminal {
  readonly isTTY?: boolean;
  /** Of a terminal. */
  readonly columns?: number;
}

export interface Streams {
  readonly stdin: Readable & Terminal & { setRawMode?(on: boolean): unknown };
  readonly stdout: Writable & Terminal;
  readonly stderr: Writable & Terminal;
  /** Ctrl-C; absent where there is no process that gets it. */
  once?(event: 'SIGINT', listener: () => void): unknown;
  off?(event: 'SIGINT', listener: () => void): unknown;
  exit?(status: number): void;
}

export type Environment = Readonly<Record<string, string | undefined>>;
