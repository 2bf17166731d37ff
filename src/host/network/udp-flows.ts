// host, network: presents the datagrams of a reserved UDP port as connections. All datagrams of one sender are one
// flow. A flow is a Duplex in which each datagram is preceded by its length, two bytes in big-endian order. Datagrams
// beyond the limits are dropped, as on any network.

import type { RemoteInfo, Socket } from 'node:dgram';
import { Duplex } from 'node:stream';
import { LIMITS } from '../../config/limits.ts';

const PREFIX_BYTES = 2;

/** The unsent bytes of all flows of a port. Datagrams beyond this are dropped. */
const UNSENT_BYTES_MAX = 1024 * 1024;

/**
 * Takes a flow and returns true, or returns false when no guest can take it. `idleMs()` says how long its sender has
 * been silent.
 */
type ServeFlow = (flow: Duplex, idleMs: () => number) => boolean;

/** Passes each new sender's flow to `serve`. When there are too many, the one that was silent longest ends. */
export class UdpFlows {
  readonly #socket: Socket;
  readonly #serve: ServeFlow;
  /** In the order of their last datagram, the oldest first. */
  readonly #flows = new Map<string, UdpFlow>();

  constructor(socket: Socket, serve: ServeFlow) {
    this.#socket = socket;
    this.#serve = serve;
    socket.on('message', (datagram, sender) => this.#take(datagram, sender));
  }

  /** Ends all flows. */
  close(): void {
    for (const flow of this.#flows.values()) flow.destroy();
  }

  #take(datagram: Buffer, sender: RemoteInfo): void {
    // Only forged datagrams have the source port 0, and no answer can be sent there.
    if (sender.port === 0) return;
    const name = `${sender.address} ${sender.port}`;
    const flow = this.#flows.get(name) ?? this.#begin(name, sender);
    if (flow === null) return;
    this.#flows.delete(name);
    this.#flows.set(name, flow);
    flow.received(datagram);
  }

  #begin(name: string, sender: RemoteInfo): UdpFlow | null {
    this.#endOldestIfFull();
    const flow = new UdpFlow(this.#socket, sender);
    this.#flows.set(name, flow);
    flow.once('close', () => {
      // A sender whose flow has ended may have a new one by now.
      if (this.#flows.get(name) === flow) this.#flows.delete(name);
    });
    // The user of the flow reports the error.
    flow.on('error', () => undefined);
    if (this.#serve(flow, () => flow.idleMs())) return flow;
    this.#flows.delete(name);
    flow.destroy();
    return null;
  }

  #endOldestIfFull(): void {
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

  /** How long no datagram has passed, in milliseconds. */
  idleMs(): number {
    return performance.now() - this.#usedAtMs;
  }

  received(datagram: Buffer): void {
    // A flow that has just ended may still get a datagram.
    if (this.destroyed) return;
    this.#received += 1;
    this.#used();
    if (this.readableLength + datagram.length > LIMITS.udpFlowBytesMax) return;
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt16BE(datagram.length);
    this.push(Buffer.concat([prefix, datagram]));
  }

  override _read(): void {
    // Datagrams are pushed when they arrive.
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

  /** One request with one answer is most of UDP, so such a flow ends sooner. */
  #used(): void {
    this.#usedAtMs = performance.now();
    const isAnswered = this.#received === 1 && this.#sent === 1;
    clearTimeout(this.#idle);
    this.#idle = this.#endIn(isAnswered ? LIMITS.udpFlowAnsweredIdleMs : LIMITS.udpFlowIdleMs);
  }

  #endIn(idleMs: number): NodeJS.Timeout {
    return setTimeout(() => this.destroy(), idleMs).unref();
  }

  /** Drops a datagram that cannot be sent, also when the port was released meanwhile. */
  #send(datagram: Buffer): void {
    this.#sent += 1;
    this.#used();
    try {
      if (this.#socket.getSendQueueSize() > UNSENT_BYTES_MAX) return;
      this.#socket.send(datagram, this.#sender.port, this.#sender.address, () => undefined);
    } catch {
      // Depending on the reason, a socket reports the error here or to the callback.
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    done(error);
  }
}

/** The length of the first datagram; infinite while its prefix is incomplete. */
function lengthOf(bytes: Buffer): number {
  return bytes.length < PREFIX_BYTES ? Number.POSITIVE_INFINITY : bytes.readUInt16BE(0);
}
