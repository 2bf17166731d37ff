// host, network: ports of the host that are reserved for guests. The daemon binds a socket to each, so that no other
// program gets the port. Packets for a guest with an address are forwarded by the kernel and never reach this socket.
// Connections for a guest without an address do, and are passed to `serve`.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import type { PortProtocol } from '../../engine/ports/network-ports.ts';
import { UdpFlows } from './udp-flows.ts';

/**
 * Takes a connection and returns true, or returns false when no guest can take it. A UDP flow has no end of its own:
 * `idleMs` says how long its sender has been silent.
 */
export type Serve = (connection: Duplex, idleMs: (() => number) | null) => boolean;

export interface HeldPort {
  release(): void;
}

/** Binds the port. Rejects with the system's error: EADDRINUSE, EACCES, EADDRNOTAVAIL. */
export function holdPort(
  protocol: PortProtocol,
  address: string,
  port: number,
  serve: Serve,
): Promise<HeldPort> {
  return protocol === 'tcp' ? holdTcp(address, port, serve) : holdUdp(address, port, serve);
}

async function holdTcp(host: string, port: number, serve: Serve): Promise<HeldPort> {
  // A client that lost power sends nothing more. Keep-alive probes end its connection.
  const options = {
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
  const server = createServer(options, (connection) => {
    // There is no guest behind this port now.
    if (!serve(connection, null)) connection.resetAndDestroy();
  });
  server.listen({ host, port });
  await once(server, 'listening');
  // A connection that could not be accepted, for lack of descriptors, concerns its client only.
  server.on('error', () => undefined);
  server.unref();
  return { release: () => server.close() };
}

async function holdUdp(address: string, port: number, serve: Serve): Promise<HeldPort> {
  const socket = createSocket('udp4');
  socket.bind({ address, port });
  await once(socket, 'listening');
  // An error about one datagram is no reason to release the port.
  socket.on('error', () => undefined);
  socket.unref();
  const flows = new UdpFlows(socket, serve);
  const release = () => {
    flows.close();
    socket.close();
  };
  return { release };
}
