// hypervisor: the connection to a guest's serial port. The hypervisor serves one at a time: who else
// connects waits until that one has left.

import type { Duplex } from 'node:stream';
import { connectToSocket } from './unix-socket.ts';

/** Rejects with what the system says: nobody listens where no hypervisor runs. */
export function connectConsole(socketPath: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectToSocket(socketPath);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
