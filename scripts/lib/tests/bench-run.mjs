// scripts: runs the program of the benchmarks in namespaces of its own, and leaves nothing of it: what it makes in files is
// below one temporary directory, and it is informed when the script is interrupted.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../paths.mjs';

const NAMESPACES = ['--net', '--pid', '--fork', '--kill-child', '--mount-proc'];

/** The shell is the first process of the namespace: it waits for those whose parent has ended. */
const SCRIPT = 'ip link set lo up && "$@"; exit $?';

/** Resolves with the status of the program, when all of its processes have ended and its files are removed. */
export async function measure(program) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-bench-'));
  const args = [...NAMESPACES, '--', 'sh', '-c', SCRIPT, 'bench', ...program];
  const child = spawn('unshare', args, {
    // The last one is how the program learns of the interruption: signals do not pass into its namespace.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    cwd: PROJECT_ROOT,
    env: { ...process.env, TMPDIR: directory },
  });
  const interrupt = () => {
    // The second time nothing more is waited for.
    if (child.connected) child.disconnect();
    else child.kill('SIGKILL');
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, interrupt);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      // Its streams are ours, so nothing follows its end.
      child.once('exit', (status) => resolve(status ?? 1));
    });
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, interrupt);
    rmSync(directory, { recursive: true, force: true });
  }
}
