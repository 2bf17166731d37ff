// hypervisor: one stream of the channel to an agent: a Duplex that behaves like a TCP connection, with flow control
// by windows.

import { Duplex } from 'node:stream';
import {
  encodeFrame,
  encodeWindow,
  FRAME,
  PAYLOAD_BYTES_MAX,
  WINDOW_BYTES,
} from './agent-frames.ts';

export interface StreamOwner {
  /** true: the guest does not read. Only ends and resets may be sent until `continueSending` is called. */
  readonly full: boolean;
  send(frame: Buffer): void;
  forget(stream: number): void;
}

/** Opens its stream at construction, and resets it when it is destroyed early. */
export class AgentStream extends Duplex {
  readonly #owner: StreamOwner;
  readonly #number: number;
  /** Bytes that may still be sent. */
  #credit = WINDOW_BYTES;
  /** Bytes that were read and not yet granted again to the agent. */
  #uncredited = 0;
  #unsent: { rest: Buffer; done: (error?: Error | null) => void } | null = null;
  #owesCredit = false;
  #endedByUs = false;
  #endedByAgent = false;
  /** The agent has reset the stream. Further resets are ignored. */
  #isReset = false;

  constructor(owner: StreamOwner, number: number) {
    super({ allowHalfOpen: true });
    this.#owner = owner;
    this.#number = number;
    owner.send(encodeFrame(FRAME.open, number));
  }

  /** Takes a frame of the agent for this stream. */
  receive(type: number, payload: Buffer): void {
    if (type === FRAME.data) {
      this.#uncredited += payload.length;
      if (this.#endedByAgent) this.#refuse('data behind their end');
      else if (this.#uncredited > WINDOW_BYTES) this.#refuse('more than it may');
      // The parser never writes to this buffer again.
      else if (this.push(payload)) this.#giveCredit();
    } else if (type === FRAME.window && payload.length === 4) {
      this.#credit += payload.readUInt32LE(0);
      if (this.#credit > WINDOW_BYTES) this.#refuse('credit for what it never got');
      else this.#sendUnsent();
    } else if (type === FRAME.end) {
      this.#endedByAgent = true;
      this.push(null);
    } else if (type === FRAME.reset && !this.#isReset) {
      this.#isReset = true;
      this.#takeReset();
    }
  }

  /** Continues after the guest has read. true: something was sent. */
  continueSending(): boolean {
    const waits = this.#unsent !== null || this.#owesCredit;
    if (this.#owesCredit) this.#giveCredit();
    this.#sendUnsent();
    return waits;
  }

  override _read(): void {
    this.#giveCredit();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#unsent = { rest: chunk, done };
    this.#sendUnsent();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#endedByUs = true;
    this.#owner.send(encodeFrame(FRAME.end, this.#number));
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#endedByUs || !this.#endedByAgent) {
      this.#owner.send(encodeFrame(FRAME.reset, this.#number));
    }
    this.#owner.forget(this.#number);
    done(error);
  }

  #takeReset(): void {
    const saidAll = this.#endedByAgent;
    this.#endedByAgent = true;
    this.#endedByUs = true;
    // After its end a reset only means that the agent reads no more. Data before the end must still be read.
    if (!saidAll) this.destroy(new Error('the agent reset the stream'));
    else if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  /** The guest is not trusted to follow the protocol: without this check its data could fill the daemon's memory. */
  #refuse(what: string): void {
    this.destroy(new Error(`the agent sent ${what}`));
  }

  #sendUnsent(): void {
    const unsent = this.#unsent;
    if (unsent === null) return;
    while (unsent.rest.length > 0 && this.#credit > 0 && !this.#owner.full) {
      const length = Math.min(unsent.rest.length, this.#credit, PAYLOAD_BYTES_MAX);
      this.#owner.send(encodeFrame(FRAME.data, this.#number, unsent.rest.subarray(0, length)));
      this.#credit -= length;
      unsent.rest = unsent.rest.subarray(length);
    }
    if (unsent.rest.length > 0) return;
    this.#unsent = null;
    unsent.done();
  }

  #giveCredit(): void {
    // Grants larger steps, because one frame per read would double the traffic.
    if (this.#uncredited < WINDOW_BYTES / 4) return;
    this.#owesCredit = this.#owner.full;
    if (this.#owesCredit) return;
    this.#owner.send(encodeWindow(this.#number, this.#uncredited));
    this.#uncredited = 0;
  }
}
