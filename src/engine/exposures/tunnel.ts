// engine: a connection of a client, handed through an agent to a port of its guest. Bytes both ways; each
// side ends by itself, and what breaks one breaks the other.

import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LIMITS } from '../../config.ts';
import type { GuestPort } from '../network-ports.ts';
import type { AgentConnection } from '../ports.ts';

/**
 * Resolves when both sides have ended. Rejects when one was broken off, when nobody listens on the port or
 * when the agent has too many connections: then both are closed. `onRefused` is told of the last two.
 */
export async function tunnel(
  connection: Duplex,
  agent: AgentConnection,
  port: GuestPort,
  onRefused: (why: unknown) => void,
): Promise<void> {
  // Until the guest has answered nobody else looks after the connection.
  const broken = new AbortController();
  const giveUp = () => broken.abort();
  connection.once('error', giveUp).once('close', giveUp);
  if (connection.destroyed) giveUp();
  const inTime = AbortSignal.timeout(LIMITS.tunnelConnectTimeoutMs);
  try {
    const connecting = agent.connect(port, AbortSignal.any([broken.signal, inTime]));
    const guest = await connecting.catch((error: unknown) => {
      // A client that has left is no loss.
      if (!broken.signal.aborted) onRefused(error);
      throw error;
    });
    await Promise.all([pipeline(connection, guest), pipeline(guest, connection)]);
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
