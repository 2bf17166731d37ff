// scripts: runs tests for a chosen time: the common parts of such commands. The test files define the tests.

import { readArguments } from '../arguments.mjs';
import { Failure, run } from '../command.mjs';
import { PROJECT_ROOT } from '../paths.mjs';
import { sum } from './test-output.mjs';
import { runInNamespaces, writeOut } from './test-runs.mjs';

/** Additional time for a file: it settles before it measures. */
const SPARE_MS = 600_000;

/**
 * Parses `--minutes N`, `--seed N` and the `flags`, which have no value; the seed is passed to the tests. `command` is what the
 * user typed, `minutes` the default.
 */
export function readLongRun(command, minutes, flags = []) {
  const options = {
    minutes: { type: 'string', default: String(minutes) },
    seed: { type: 'string' },
    ...Object.fromEntries(flags.map((flag) => [flag, { type: 'boolean', default: false }])),
  };
  const others = flags.map((flag) => ` [--${flag}]`).join('');
  const { values } = readArguments(
    { options },
    `Use: ${command} -- [--minutes N] [--seed N]${others}`,
  );
  const wanted = Number(values.minutes);
  if (!(wanted > 0)) throw new Failure('--minutes must be a number above 0.');
  if (values.seed !== undefined) process.env.VOLANT_TEST_SEED = values.seed;
  return { ...values, minutes: wanted, seconds: Math.round(wanted * 60) };
}

/** Builds the daemon and the tests from the current sources. */
export async function buildForLongRun() {
  await run('npm', ['run', '--silent', 'build'], { cwd: PROJECT_ROOT });
  await run('npx', ['tsc', '-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
}

/** Runs test files one after the other, each in its own network namespace, and prints the result. */
export async function runLong(files) {
  const counts = [];
  for (const { name, minutes } of files) {
    const fileTimeoutMs = minutes * 60_000 + SPARE_MS;
    counts.push(await runInNamespaces([`.build/test/e2e/${name}.test.js`], 1, { fileTimeoutMs }));
  }
  const { passed, failed, skipped } = sum(counts);
  writeOut(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  if (failed > 0) process.exitCode = 1;
}
