// workers, main-thread side: datagrams that come to a held port, as connections. All datagrams of one sender are
// one flow; to its user a flow is a Duplex of bytes on which each datagram has its length in front, two bytes
// with the larger one first. What cannot be taken at once is lost, as datagrams are.

import type { RemoteInfo, Socket } from 'node:dgram';
import { Duplex } from 'node:stream';
import { LIMITS } from '../config.ts';

const PREFIX_BYTES = 2;

/** Answers that the host's network has not taken yet, of all flows of a port; beyond it they are lost. */
const UNSENT_BYTES_MAX = 1024 * 1024;

/** Takes a flow, which has been silent for `idleMs()`, or says that nobody is there for it. */
type ServeFlow = (flow: Duplex, idleMs: () => number) => boolean;

/** Gives each new sender's flow to whoever serves the port. */
export class UdpFlows {
  readonly #socket: Socket;
  readonly #serve: ServeFlow;
  /** The one whose sender has been silent for longest comes first. */
  readonly #flows = new Map<string, UdpFlow>();

  constructor(socket: Socket, serve: ServeFlow) {
    this.#socket = socket;
    this.#serve = serve;
    socket.on('message', (datagram, sender) => this.#take(datagram, sender));
  }

  /** Ends all of them. */
  close(): void {
    for (const flow of this.#flows.values()) flow.destroy();
  }

  #take(datagram: Buffer, sender: RemoteInfo): void {
    // Nobody can be answered at port 0, which only forged datagrams come from.
    if (sender.port === 0) return;
    const name = `${sender.address} ${sender.port}`;
    const flow = this.#flows.get(name) ?? this.#begin(name, sender);
    if (flow === null) return;
    this.#flows.delete(name);
    this.#flows.set(name, flow);
    flow.received(datagram);
  }

  #begin(name: string, sender: RemoteInfo): UdpFlow | null {
    this.#makeRoom();
    const flow = new UdpFlow(this.#socket, sender);
    this.#flows.set(name, flow);
    flow.once('close', () => {
      // A sender whose flow was given up may have a new one by now.
      if (this.#flows.get(name) === flow) this.#flows.delete(name);
    });
    // Why it was broken off is told by whoever serves it.
    flow.on('error', () => undefined);
    if (this.#serve(flow, () => flow.idleMs())) return flow;
    this.#flows.delete(name);
    flow.destroy();
    return null;
  }

  #makeRoom(): void {
    const [oldest] = this.#flows;
    if (oldest === undefined || this.#flows.size < LIMITS.udpFlowsMax) return;
    this.#flows.delete(oldest[0]);
    oldest[1].destroy();
  }
}

class UdpFlow extends Duplex {
  readonly #socket: Socket;
  readonly #sender: RemoteInfo;
  #idle: NodeJS.Timeout;
  #usedAtMs = performance.now();
  #received = 0;
  #sent = 0;
  #rest = Buffer.alloc(0);

  constructor(socket: Socket, sender: RemoteInfo) {
    super();
    this.#socket = socket;
    this.#sender = sender;
    this.#idle = this.#endIn(LIMITS.udpFlowIdleMs);
  }

  /** How long nobody has sent. */
  idleMs(): number {
    return performance.now() - this.#usedAtMs;
  }

  received(datagram: Buffer): void {
    // What was given up a moment ago may still be in somebody's hands.
    if (this.destroyed) return;
    this.#received += 1;
    this.#used();
    if (this.readableLength + datagram.length > LIMITS.udpFlowBytesMax) return;
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt16BE(datagram.length);
    this.push(Buffer.concat([prefix, datagram]));
  }

  override _read(): void {
    // Datagrams come by themselves.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = PREFIX_BYTES + lengthOf(this.#rest);
      if (this.#rest.length < end) break;
      const datagram = this.#rest.subarray(PREFIX_BYTES, end);
      this.#rest = this.#rest.subarray(end);
      this.#send(datagram);
    }
    done();
  }

  /** A question that was answered is over, as far as one can tell: most of what comes by UDP is that. */
  #used(): void {
    this.#usedAtMs = performance.now();
    const isAnswered = this.#received === 1 && this.#sent === 1;
    clearTimeout(this.#idle);
    this.#idle = this.#endIn(isAnswered ? LIMITS.udpFlowAnsweredIdleMs : LIMITS.udpFlowIdleMs);
  }

  #endIn(idleMs: number): NodeJS.Timeout {
    return setTimeout(() => this.destroy(), idleMs).unref();
  }

  /** One that cannot be sent is lost; a port that was given back meanwhile takes none. */
  #send(datagram: Buffer): void {
    this.#sent += 1;
    this.#used();
    try {
      if (this.#socket.getSendQueueSize() > UNSENT_BYTES_MAX) return;
      this.#socket.send(datagram, this.#sender.port, this.#sender.address, () => undefined);
    } catch {
      // Whether a socket says so here or to its callback depends on the reason.
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    done(error);
  }
}

/** Of the first datagram; more than there can be while the prefix is not complete. */
function lengthOf(bytes: Buffer): number {
  return bytes.length < PREFIX_BYTES ? Number.POSITIVE_INFINITY : bytes.readUInt16BE(0);
}
