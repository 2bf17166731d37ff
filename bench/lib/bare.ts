// bench: the bare HTTP server in a process of its own: the bound that the daemon's reads and streams have.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ROOT } from './daemon.ts';

let nextPort = 20_900;

export interface BareServer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Answers a constant of that size, on one processor. */
export async function startBare(bytes: number, processor: number): Promise<BareServer> {
  const port = nextPort++;
  const args = [join(ROOT, '.build/bench/bare-uws.js'), String(port), String(bytes)];
  const command = ['-c', String(processor), process.execPath, ...args];
  // In a session of its own, as the daemon is.
  const child = spawn('taskset', command, {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const [said] = await once(child.stdout, 'data');
  if (!String(said).startsWith('listening')) throw new Error(`The bare server says: ${said}`);
  return {
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}
