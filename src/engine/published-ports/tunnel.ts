// engine, published ports: passes one client connection through an agent to a port of its guest. Each direction can end
// by itself; an error closes both.

import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { LIMITS } from '../../config/limits.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';
import type { GuestPort } from '../ports/network-ports.ts';

/**
 * Resolves when both directions have ended. Rejects after an error, if nothing listens on the port, or if the agent has
 * too many connections; both sides are closed then. `onRefused` is called for the last two.
 */
export async function tunnel(
  connection: Duplex,
  agent: AgentConnection,
  port: GuestPort,
  onRefused: (why: unknown) => void,
): Promise<void> {
  // Until the guest has answered, errors of the connection are handled here.
  const broken = new AbortController();
  const giveUp = () => broken.abort();
  connection.once('error', giveUp).once('close', giveUp);
  if (connection.destroyed) giveUp();
  const inTime = AbortSignal.timeout(LIMITS.tunnelConnectTimeoutMs);
  try {
    const connecting = agent.connect(port, AbortSignal.any([broken.signal, inTime]));
    const guest = await connecting.catch((error: unknown) => {
      // A client that has left is not counted as a loss.
      if (!broken.signal.aborted) onRefused(error);
      throw error;
    });
    await Promise.all([pipeline(connection, guest), pipeline(guest, connection)]);
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
