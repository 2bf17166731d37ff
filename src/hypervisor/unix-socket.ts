// hypervisor: connecting to a socket in a run directory. The directory is the hypervisor's own: one that a guest has
// broken into may put there a link to a socket of somebody else, to whom the daemon would then talk as root.

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect, Socket } from 'node:net';

/** Opens a name without what is behind it (open(2)); Node has no name for it. */
const O_PATH = 0o10000000;

/** As `connect` of node:net, but to a socket of exactly this name. What is in the way comes as 'error', and 'close'. */
export function connectToSocket(path: string): Socket {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    return failed(error as Error);
  }
  try {
    if (!fstatSync(fd).isSocket()) return failed(new Error(`${path} is not a socket`));
    // The very thing that was looked at, whatever has its name by now. The kernel looks it up in this call.
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
