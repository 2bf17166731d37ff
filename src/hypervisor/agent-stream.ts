// hypervisor: one stream of the channel to an agent: to its user a Duplex like a TCP connection.

import { Duplex } from 'node:stream';
import {
  encodeFrame,
  encodeWindow,
  FRAME,
  PAYLOAD_BYTES_MAX,
  WINDOW_BYTES,
} from './agent-frames.ts';

export interface StreamOwner {
  /** true: the guest does not read. Nothing may be sent but an end, until `goOn` is called. */
  readonly full: boolean;
  send(frame: Buffer): void;
  forget(stream: number): void;
}

export class AgentStream extends Duplex {
  readonly #owner: StreamOwner;
  readonly #number: number;
  /** What we may still send. */
  #credit = WINDOW_BYTES;
  /** What was read by our user and not yet told to the agent. */
  #uncredited = 0;
  #unsent: { rest: Buffer; done: (error?: Error | null) => void } | null = null;
  #owesCredit = false;
  #endedByUs = false;
  #endedByAgent = false;
  /** By the agent. Once is enough: each would wait for the end. */
  #isReset = false;

  constructor(owner: StreamOwner, number: number) {
    super({ allowHalfOpen: true });
    this.#owner = owner;
    this.#number = number;
    owner.send(encodeFrame(FRAME.open, number));
  }

  /** A frame of the agent's for this stream. */
  receive(type: number, payload: Buffer): void {
    if (type === FRAME.data) {
      this.#uncredited += payload.length;
      if (this.#endedByAgent) this.#refuse('data behind their end');
      else if (this.#uncredited > WINDOW_BYTES) this.#refuse('more than it may');
      // The parser's buffer is ours to keep: it is never written to again.
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

  /** The guest reads again. true when something was sent. */
  goOn(): boolean {
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
    // After its end the agent only says that it takes no more: what it had said is still to be read.
    if (!saidAll) this.destroy(new Error('the agent reset the stream'));
    else if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  /** A guest is not trusted to keep to the protocol: without the window its data would fill our memory. */
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
    // In larger steps: a frame for each read would double the traffic.
    if (this.#uncredited < WINDOW_BYTES / 4) return;
    this.#owesCredit = this.#owner.full;
    if (this.#owesCredit) return;
    this.#owner.send(encodeWindow(this.#number, this.#uncredited));
    this.#uncredited = 0;
  }
}
