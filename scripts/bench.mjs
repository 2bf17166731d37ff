// scripts: runs the benchmarks (npm run bench [-- --quick] [SUITE...]) in namespaces of their own for the network and for
// processes: their processes end with them, and every process that they see is part of the measurement.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Failure, findCommand, run, runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';
import { createProgress } from './lib/progress.mjs';
import { measure } from './lib/tests/bench-run.mjs';
import { setup } from './setup.mjs';

const TOOLS = ['gcc', 'ip', 'taskset', 'unshare'];

/** Commands that only read files, or say how they are used: they need neither a guest nor root. */
const READERS = ['compare', 'docs', '--help'];

function checkTools() {
  const missing = TOOLS.filter((command) => findCommand(command) === null);
  if (missing.length === 0) return 'compiler and tools are installed';
  throw new Failure(`${missing.join(', ')} missing: install them with your package manager`);
}

function runProgram(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', cwd: PROJECT_ROOT });
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
  });
}

async function compile() {
  const tsc = join(PROJECT_ROOT, 'node_modules/.bin/tsc');
  await run(tsc, ['-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
  return 'compiled the benchmarks into .build/';
}

await runMain(async () => {
  const args = process.argv.slice(2);
  const reads = READERS.includes(args[0]);
  if (!reads && process.getuid() !== 0)
    throw new Failure('The benchmarks make taps and bridges: run them as root');
  // What is printed may be JSON for a program.
  const log = createProgress(process.stderr);
  if (!reads) {
    await setup({ log, home: null });
    await log.step('tools', async () => checkTools());
  }
  await log.step('compile', compile);
  const program = [process.execPath, join(PROJECT_ROOT, '.build/bench/run.js'), ...args];
  const [command, ...rest] = program;
  process.exitCode = reads ? await runProgram(command, rest) : await measure(program);
});
