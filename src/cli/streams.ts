// cli: where a command reads and writes. Commands know these streams and nothing of the process.

import type { Readable, Writable } from 'node:stream';

export interface Terminal {
  readonly isTTY?: boolean;
}

export interface Streams {
  readonly stdin: Readable & Terminal & { setRawMode?(on: boolean): unknown };
  readonly stdout: Writable & Terminal;
  readonly stderr: Writable & Terminal;
}

export type Environment = Readonly<Record<string, string | undefined>>;
