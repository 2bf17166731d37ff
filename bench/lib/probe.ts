// bench: a client of its own process that asks one thing repeatedly, so that how long it waits is the daemon's doing
// and not that of the load beside it. Starts itself: the parent calls startProbe.

import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { RawClient } from './burst.ts';

const PAUSE_MS = 2;
/** Before the daemon's own: how long this process waits for a processor is not what is measured. */
const PRIORITY = -15;

export interface Probe {
  /** Milliseconds that each answer since the last call took. */
  samples(): Promise<readonly number[]>;
  end(): void;
}

export function startProbe(port: number, path: string): Probe {
  // In a session of its own: see askFirst.
  const file = fileURLToPath(import.meta.url);
  const child = fork(file, [String(port), path], { detached: true });
  return {
    samples: async () => {
      child.send('samples');
      const [times] = await once(child, 'message');
      return times as readonly number[];
    },
    end: () => {
      child.kill('SIGKILL');
    },
  };
}

/** The kernel shares processors out between sessions where it has groups of them, and between threads within. */
function askFirst(): void {
  setPriority(0, PRIORITY);
  const group = '/proc/self/autogroup';
  if (existsSync(group)) writeFileSync(group, String(PRIORITY));
  // As the daemon's main thread has it. A host that refuses it to one refuses it to both.
  spawnSync('chrt', ['--rr', '--pid', '1', String(process.pid)], { stdio: 'ignore' });
}

async function askOn(port: number, path: string): Promise<never> {
  askFirst();
  let times: number[] = [];
  process.on('message', () => {
    process.send?.(times);
    times = [];
  });
  process.on('disconnect', () => process.exit());
  const client = new RawClient(port);
  for (;;) {
    const askedMs = performance.now();
    const { status } = await client.ask({ method: 'GET', path });
    if (status === 200) times.push(performance.now() - askedMs);
    await pause(PAUSE_MS);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await askOn(Number(process.argv[2]), process.argv[3] ?? '/');
}
