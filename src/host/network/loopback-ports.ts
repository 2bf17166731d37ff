// host, network: ports of ::1, which many programs use for localhost. The kernel's rules forward only IPv4 packets to
// guests, so a connection to ::1 is forwarded to the same port of 127.0.0.1.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LIMITS } from '../../config/limits.ts';
import type { PortProtocol } from '../../engine/ports/network-ports.ts';
import { type HeldPort, holdPort, type Serve } from './held-ports.ts';
import { UdpFlows } from './udp-flows.ts';

const FROM = '::1';
const TO = '127.0.0.1';

const KEEP_ALIVE_MS = 60_000;

/** Bytes of the length before each datagram of a flow. */
const PREFIX_BYTES = 2;

/**
 * Errors of a host without IPv6, or with another program on this port of ::1. The port of 127.0.0.1 is reserved
 * anyway.
 */
const NOT_OURS = ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EADDRINUSE'];

/** Addresses that include 127.0.0.1. */
const BY_LOOPBACK = ['0.0.0.0', TO];

/**
 * Reserves a port like holdPort, and that of ::1 when the address includes 127.0.0.1. Rejects with the system's
 * error.
 */
export async function holdPublished(
  protocol: PortProtocol,
  address: string,
  port: number,
  serve: Serve,
): Promise<HeldPort> {
  const held = await holdPort(protocol, address, port, serve);
  if (!BY_LOOPBACK.includes(address)) return held;
  try {
    const other = await holdLoopback(protocol, port);
    return {
      release: () => {
        held.release();
        other?.release();
      },
    };
  } catch (error) {
    held.release();
    throw error;
  }
}

/** Returns null when the port of ::1 is not available. Rejects with other errors of the system. */
async function holdLoopback(protocol: PortProtocol, port: number): Promise<HeldPort | null> {
  try {
    return await (protocol === 'tcp' ? holdTcp(port) : holdUdp(port));
  } catch (error) {
    if (NOT_OURS.includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

async function holdTcp(port: number): Promise<HeldPort> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    void relay(client, port);
  });
  server.maxConnections = LIMITS.loopbackConnectionsMax;
  server.listen({ host: FROM, port, ipv6Only: true });
  await once(server, 'listening');
  // A connection that could not be accepted, for lack of descriptors, concerns its client only.
  server.on('error', () => undefined);
  server.unref();
  return { release: () => server.close() };
}

/**
 * Each side ends by itself. An error of one side resets the other, as for a connection to 127.0.0.1. Keep-alive
 * notices a peer without power.
 */
async function relay(client: Socket, port: number): Promise<void> {
  const guest = connect({ host: TO, port, allowHalfOpen: true, noDelay: true });
  for (const socket of [client, guest]) socket.setKeepAlive(true, KEEP_ALIVE_MS);
  // Before the pipelines see the error: they would end the other side as if all data had been sent.
  guest.once('error', () => client.resetAndDestroy());
  client.once('error', () => guest.resetAndDestroy());
  const late = setTimeout(
    () => guest.destroy(new Error('the guest has not answered')),
    LIMITS.tunnelConnectTimeoutMs,
  );
  guest.once('connect', () => clearTimeout(late));
  try {
    await Promise.all([pipeline(client, guest), pipeline(guest, client)]);
  } catch {
    // The client was already informed.
    client.destroy();
    guest.destroy();
  } finally {
    clearTimeout(late);
  }
}

async function holdUdp(port: number): Promise<HeldPort> {
  const socket = createSocket({ type: 'udp6', ipv6Only: true });
  socket.bind({ address: FROM, port });
  await once(socket, 'listening');
  // An error about one datagram is no reason to release the port.
  socket.on('error', () => undefined);
  socket.unref();
  const flows = new UdpFlows(socket, (flow) => relayDatagrams(flow, port));
  return {
    release: () => {
      flows.close();
      socket.close();
    },
  };
}

/** Each sender gets a socket of its own, so that it is one sender for the guest, too, until its flow ends. */
function relayDatagrams(flow: Duplex, port: number): true {
  const guest = createSocket('udp4');
  guest.on('error', () => flow.destroy());
  flow.once('close', () => guest.close());
  flow.on('data', (framed: Buffer) => {
    guest.send(framed.subarray(PREFIX_BYTES), port, TO, () => undefined);
  });
  guest.on('message', (datagram) => {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt16BE(datagram.length);
    flow.write(Buffer.concat([prefix, datagram]));
  });
  return true;
}
