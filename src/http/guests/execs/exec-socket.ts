// http, guests: one WebSocket between a client and an exec: output and input with backpressure, and messages of control.
// docs/exec.md describes the messages.

import { LIMITS } from '../../../config/limits.ts';
import type { ExecApi, ExecSession } from '../../../engine/engine-api.ts';
import type { VolantError } from '../../../lib/errors.ts';
import { type Exec, signalNumber } from '../../../schema/exec.ts';
import { CLOSE } from '../../streams/socket-viewer.ts';
import { utf8, type WebSocket } from '../../uws.ts';

export interface ExecSocketTarget {
  readonly vmName: string;
  readonly id: string;
  /** Offsets from which output is wanted. */
  readonly stdout: number;
  readonly stderr: number;
}

/** The server copies the members of a socket's data, so they are wrapped in one object. */
export interface ExecSocketData {
  readonly socket: ExecSocket;
}

type Output = 'stdout' | 'stderr';

/** The first byte of a binary message to the client. */
const STREAM_BYTES: Readonly<Record<Output, number>> = { stdout: 1, stderr: 2 };

/** The close reason of a frame has at most 123 bytes. */
const REASON_CHARACTERS_MAX = 120;

export class ExecSocket {
  readonly #session: ExecSession;
  readonly #onOver: () => void;
  readonly #next: Record<Output, number | undefined> = { stdout: undefined, stderr: undefined };
  #client: WebSocket<ExecSocketData> | null = null;
  #sentBytes = 0;
  #takenBytes = 0;
  #isOver = false;

  /** Throws as ExecApi.attach() does. */
  constructor(
    execs: ExecApi,
    { vmName, id, stdout, stderr }: ExecSocketTarget,
    onOver: () => void,
  ) {
    this.#onOver = onOver;
    this.#session = execs.attach(
      vmName,
      id,
      { stdout, stderr, until: 'end' },
      {
        onOutput: (stream, offset, bytes) => this.#output(stream, offset, bytes),
        onTaken: (taken, isOpen) => this.#taken(taken, isOpen),
        onEnd: (exec) => this.#ended(exec),
        onBroken: (error) => this.#broken(error),
      },
    );
    // Nothing may be sent before the upgrade is complete.
    this.#session.pause();
  }

  opened(client: WebSocket<ExecSocketData>): void {
    this.#client = client;
    if (!this.#isOver) this.#session.resume();
  }

  /** A message of the client. The bytes are lent. */
  received(message: ArrayBuffer, isBinary: boolean): void {
    if (this.#isOver) return;
    if (isBinary) this.#input(message);
    else this.#control(Buffer.from(new Uint8Array(message)).toString());
  }

  /** The client has taken everything that was sent. */
  drained(): void {
    if (!this.#isOver) this.#session.resume();
  }

  /** The client has closed the WebSocket. The program continues. */
  gone(): void {
    this.#client = null;
    this.#finish();
  }

  close(code: number, reason: string): void {
    const client = this.#client;
    this.#client = null;
    this.#finish();
    client?.end(code, utf8(reason.slice(0, REASON_CHARACTERS_MAX)));
  }

  #input(message: ArrayBuffer): void {
    if (message.byteLength === 0) return;
    this.#sentBytes += message.byteLength;
    // The server cannot pause a client.
    if (this.#sentBytes - this.#takenBytes > LIMITS.execInputBacklogBytesMax) {
      this.close(CLOSE.tryLater, 'the program does not read its input');
      return;
    }
    this.#session.input(Uint8Array.from(new Uint8Array(message)));
    this.#session.askTaken();
  }

  #control(text: string): void {
    const message = parsed(text);
    const { type, rows, columns, signal } = message;
    if (type === 'stdin_close') this.#session.closeInput();
    else if (type === 'resize' && isSize(rows) && isSize(columns)) {
      this.#session.resize(rows, columns);
    } else if (type === 'signal' && typeof signal === 'string' && signalNumber(signal) !== null) {
      this.#session.signal(signalNumber(signal) ?? 0);
    } else {
      const why = 'expected is stdin_close, resize with rows and columns, or signal with signal';
      this.#sendControl({ type: 'error', error: `The message is not valid: ${why}` });
    }
  }

  #output(stream: Output, offset: number, bytes: Buffer): void {
    if (offset !== this.#next[stream]) this.#sendControl({ type: 'position', stream, offset });
    this.#next[stream] = offset + bytes.length;
    const message = Buffer.allocUnsafe(bytes.length + 1);
    message[0] = STREAM_BYTES[stream];
    message.set(bytes, 1);
    this.#send(message, true);
  }

  #taken(taken: number, isOpen: boolean): void {
    this.#takenBytes = taken;
    this.#sendControl({ type: 'stdin', taken_bytes: taken, open: isOpen });
  }

  #ended(exec: Exec): void {
    this.#sendControl({ type: 'end', exec });
    this.close(CLOSE.normal, exec.state === 'lost' ? 'the VM has ended' : 'the program has ended');
  }

  #broken(error: VolantError): void {
    const { code, message } = error;
    this.#sendControl({ type: 'error', error: message, code });
    const isForGood = code === 'EXEC_NOT_FOUND' || code === 'EXEC_ENDED';
    this.close(isForGood ? CLOSE.failed : CLOSE.tryLater, message);
  }

  #sendControl(value: object): void {
    this.#send(utf8(JSON.stringify(value)), false);
  }

  #send(message: Uint8Array, isBinary: boolean): void {
    const client = this.#client;
    if (client === null) return;
    client.cork(() => client.send(message, isBinary));
    if (client.getBufferedAmount() > LIMITS.execOutputBacklogBytesMax) this.#session.pause();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#session.end();
    this.#onOver();
  }
}

function isSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 10_000;
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
