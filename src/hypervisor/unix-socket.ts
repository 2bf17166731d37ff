// hypervisor: connects to a socket in a run directory. The directory belongs to the hypervisor: a compromised one
// could put a link to another socket there, and the daemon would talk to that as root.

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect, Socket } from 'node:net';

/** Opens a name without its content (open(2)). Node has no constant for it. */
const O_PATH = 0o10000000;

/**
 * Like `connect` of node:net, but only to a socket of exactly this name, without following links. Errors are emitted
 * as 'error', then 'close'.
 */
export function connectToSocket(path: string): Socket {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    return failed(error as Error);
  }
  try {
    if (!fstatSync(fd).isSocket()) return failed(new Error(`${path} is not a socket`));
    // Connects to the object that was checked, even if its name now means another. The kernel resolves the path
    // during this call.
    return connect(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

function failed(error: Error): Socket {
  const socket = new Socket();
  process.nextTick(() => socket.destroy(error));
  return socket;
}
