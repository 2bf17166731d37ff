// hypervisor: connects to a guest's serial port. The hypervisor serves one connection at a time; others wait until it
// ends.

import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../config/limits.ts';
import { connectToSocket } from './unix-socket.ts';

const RETRY_MS = 50;

/**
 * Connects. Rejects with the system's error when no hypervisor listens. The hypervisor's queue has one place, and may
 * not have noticed that earlier viewers left: a full queue is retried for consoleConnectMs.
 */
export async function connectConsole(socketPath: string): Promise<Duplex> {
  const deadlineMs = performance.now() + LIMITS.consoleConnectMs;
  for (;;) {
    try {
      return await connectOnce(socketPath);
    } catch (error) {
      const isFull = (error as NodeJS.ErrnoException).code === 'EAGAIN';
      if (!isFull || performance.now() > deadlineMs) throw error;
    }
    await pause(RETRY_MS);
  }
}

function connectOnce(socketPath: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectToSocket(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
