// workers, main-thread side: ports of the host that are held for guests. A socket of ours is bound to
// each, so that no other program gets it; packets that lead to a guest never come to this socket, but
// connections for a guest without an address do.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import type { PortProtocol } from '../engine/network-ports.ts';
import { UdpFlows } from './udp-flows.ts';

/**
 * Takes a connection, or says that nobody is there for it. Of a flow of datagrams nothing tells the end but
 * `idleMs`, for how long nobody has sent.
 */
export type Serve = (connection: Duplex, idleMs: (() => number) | null) => boolean;

export interface HeldPort {
  release(): void;
}

/** Rejects with the system's error: EADDRINUSE, EACCES, EADDRNOTAVAIL. */
export function holdPort(
  protocol: PortProtocol,
  address: string,
  port: number,
  serve: Serve,
): Promise<HeldPort> {
  return protocol === 'tcp' ? holdTcp(address, port, serve) : holdUdp(address, port, serve);
}

async function holdTcp(host: string, port: number, serve: Serve): Promise<HeldPort> {
  // A client that was switched off says nothing: it is asked, so that its connection has an end.
  const options = {
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
  const server = createServer(options, (connection) => {
    // Whoever is not served asks for a guest that is not there.
    if (!serve(connection, null)) connection.resetAndDestroy();
  });
  server.listen({ host, port });
  await once(server, 'listening');
  // A connection that could not be accepted, for want of descriptors, is its client's loss alone.
  server.on('error', () => undefined);
  server.unref();
  return { release: () => server.close() };
}

async function holdUdp(address: string, port: number, serve: Serve): Promise<HeldPort> {
  const socket = createSocket('udp4');
  socket.bind({ address, port });
  await once(socket, 'listening');
  // What the network says of one datagram is no reason to give the port up.
  socket.on('error', () => undefined);
  socket.unref();
  const flows = new UdpFlows(socket, serve);
  const release = () => {
    flows.close();
    socket.close();
  };
  return { release };
}
