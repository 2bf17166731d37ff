// workers, main-thread side: ports of the host that are held for guests. A socket of ours is bound to
// each, so that no other program gets it; packets that lead to a guest never come to this socket.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { PortProtocol } from '../engine/network-ports.ts';

export interface HeldPort {
  release(): void;
}

/** Rejects with the system's error: EADDRINUSE, EACCES, EADDRNOTAVAIL. */
export function holdPort(protocol: PortProtocol, address: string, port: number): Promise<HeldPort> {
  return protocol === 'tcp' ? holdTcp(address, port) : holdUdp(address, port);
}

async function holdTcp(host: string, port: number): Promise<HeldPort> {
  // Whoever comes here asks for a guest that is not there.
  const server = createServer((connection) => connection.resetAndDestroy());
  server.listen({ host, port });
  await once(server, 'listening');
  server.unref();
  return { release: () => server.close() };
}

async function holdUdp(address: string, port: number): Promise<HeldPort> {
  const socket = createSocket('udp4');
  socket.bind({ address, port });
  await once(socket, 'listening');
  socket.unref();
  return { release: () => socket.close() };
}
