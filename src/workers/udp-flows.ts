// workers, main-thread side: datagrams that come to a held port, as connections. All datagrams of one sender are
// one flow; to its user a flow is a Duplex of bytes on which each datagram has its length in front, two bytes
// with the larger one first. What cannot be taken at once is lost, as datagrams are.

import type { RemoteInfo, Socket } from 'node:dgram';
import { Duplex } from 'node:stream';
import { LIMITS } from '../config.ts';

const PREFIX_BYTES = 2;

/** Gives each new sender's flow to `serve`, which says whether somebody is there for it. */
export class UdpFlows {
  readonly #socket: Socket;
  readonly #serve: (flow: Duplex) => boolean;
  readonly #flows = new Map<string, UdpFlow>();

  constructor(socket: Socket, serve: (flow: Duplex) => boolean) {
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
    flow?.received(datagram);
  }

  #begin(name: string, sender: RemoteInfo): UdpFlow | null {
    if (this.#flows.size >= LIMITS.udpFlowsMax) return null;
    const flow = new UdpFlow(this.#socket, sender);
    this.#flows.set(name, flow);
    flow.once('close', () => this.#flows.delete(name));
    // Why it was broken off is told by whoever serves it.
    flow.on('error', () => undefined);
    if (this.#serve(flow)) return flow;
    flow.destroy();
    return null;
  }
}

class UdpFlow extends Duplex {
  readonly #socket: Socket;
  readonly #sender: RemoteInfo;
  readonly #idle: NodeJS.Timeout;
  #rest = Buffer.alloc(0);

  constructor(socket: Socket, sender: RemoteInfo) {
    super();
    this.#socket = socket;
    this.#sender = sender;
    this.#idle = setTimeout(() => this.destroy(), LIMITS.udpFlowIdleMs).unref();
  }

  received(datagram: Buffer): void {
    this.#idle.refresh();
    if (this.readableLength + datagram.length > LIMITS.udpFlowBytesMax) return;
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt16BE(datagram.length);
    this.push(Buffer.concat([prefix, datagram]));
  }

  override _read(): void {
    // Datagrams come by themselves.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#idle.refresh();
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

  /** One that cannot be sent is lost; a port that was given back meanwhile takes none. */
  #send(datagram: Buffer): void {
    try {
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
