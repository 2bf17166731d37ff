// cli, terminal: the input and output of a command. Commands know these streams and do not access the process.

import type { Readable, Writable } from 'node:stream';

export interface Terminal {
  readonly isTTY?: boolean;
  /** Set if the stream is a terminal. */
  readonly columns?: number;
  readonly rows?: number;
}

export interface Streams {
  readonly stdin: Readable & Terminal & { setRawMode?(on: boolean): unknown };
  readonly stdout: Writable & Terminal;
  readonly stderr: Writable & Terminal;
  /** Registers for Ctrl-C and other signals; absent if no process receives them. */
  on?(event: EndSignal, listener: () => void): unknown;
  once?(event: EndSignal, listener: () => void): unknown;
  off?(event: EndSignal, listener: () => void): unknown;
  exit?(status: number): void;
}

/** Signals that ask a command to end. SIGPIPE is also told for standard output that cannot be written for another reason. */
export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGPIPE';

export type Environment = Readonly<Record<string, string | undefined>>;
