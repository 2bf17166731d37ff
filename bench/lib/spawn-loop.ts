// bench: the bound for creates: runs the loop in C, and removes what it made.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './daemon.ts';
import { settle } from './machine.ts';
import { compile } from './programs.ts';

const BRIDGE = 'vbr-loop';
const GROUP = '77';

export interface LoopResult {
  /** VMs a second. */
  readonly rate: number;
  /** Processor time of the loop itself for each VM. */
  readonly cpuMicroseconds: number;
}

/** In memory, as those of the daemon beside it: on ext4 the loop takes up to six times as long after many deletes. */
function loopDirectory(): string {
  const memory = '/dev/shm';
  return mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'volant-loop-'));
}

/** Begins when the kernel is done with what ran before, and ends when it has removed what the loop made. */
export async function runSpawnLoop(count: number, processors?: string): Promise<LoopResult> {
  const directory = loopDirectory();
  const ip = (args: readonly string[], input?: string) =>
    execFileSync('ip', [...args], {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'ignore', 'inherit'],
      input,
    });
  ip(['link', 'add', BRIDGE, 'type', 'bridge']);
  ip(['link', 'set', BRIDGE, 'up']);
  await settle();
  try {
    const simulator = join(ROOT, 'build/simulator/simulator');
    const pinned = processors === undefined ? [] : ['taskset', '-c', processors];
    const loop = [compile('spawnLoop'), simulator, directory, BRIDGE, String(count)];
    const [program = '', ...args] = [...pinned, ...loop];
    const { seconds, cpuSeconds } = JSON.parse(execFileSync(program, args, { encoding: 'utf8' }));
    return { rate: count / seconds, cpuMicroseconds: (cpuSeconds * 1e6) / count };
  } finally {
    // Taps go together: one by one each would wait for the kernel.
    const taps = Array.from(
      { length: count },
      (_, index) => `link set loop-${index} group ${GROUP}`,
    );
    ip(['-batch', '-'], `${taps.join('\n')}\n`);
    ip(['link', 'delete', 'group', GROUP]);
    ip(['link', 'delete', BRIDGE]);
    rmSync(directory, { recursive: true, force: true });
  }
}
