// scripts: runs the benchmarks (npm run bench [-- --quick] [SUITE...]) inside a network namespace of
// their own, which is removed afterwards.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { capture, Failure, findCommand, run, runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';
import { createProgress } from './lib/progress.mjs';
import { setup } from './setup.mjs';

async function ensureLoadGenerator() {
  for (const command of ['wrk', 'gcc', 'taskset']) {
    if (findCommand(command) !== null) continue;
    if (command !== 'wrk' || findCommand('apt-get') === null) {
      throw new Failure(`${command} is missing: install it with your package manager`);
    }
    await run('apt-get', ['install', '-y', '--no-install-recommends', 'wrk'], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  }
  return 'load generator and compiler are there';
}

function measure(args) {
  const namespace = `volant-bench-${process.pid}`;
  capture('ip', ['netns', 'add', namespace]);
  capture('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  return new Promise((resolve, reject) => {
    const program = join(PROJECT_ROOT, '.build/bench/run.js');
    const command = [`--net=/run/netns/${namespace}`, process.execPath, program, ...args];
    const child = spawn('nsenter', command, { stdio: 'inherit' });
    child.once('error', reject);
    child.once('close', (status) => {
      capture('ip', ['netns', 'delete', namespace]);
      resolve(status ?? 1);
    });
  });
}

await runMain(async () => {
  if (process.getuid() !== 0)
    throw new Failure('The benchmarks make taps and bridges: run them as root');
  const log = createProgress();
  await setup({ log, home: null });
  await log.step('load generator', ensureLoadGenerator);
  await log.step('compile', async () => {
    const tsc = join(PROJECT_ROOT, 'node_modules/.bin/tsc');
    await run(tsc, ['-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
    return 'compiled the benchmarks into .build/';
  });
  process.exitCode = await measure(process.argv.slice(2));
});
