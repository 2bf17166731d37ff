// scripts: runs tests that take as long as somebody likes: what their commands have in common. What the tests are is the
// test files' business.

import { parseArgs } from 'node:util';
import { Failure, run } from './command.mjs';
import { PROJECT_ROOT } from './paths.mjs';
import { runInNamespaces, sum, writeOut } from './test-runs.mjs';

/** A file may take so much longer than it was told: it comes to rest first. */
const SPARE_MS = 600_000;

/** `--minutes N` and `--seed N`; the seed goes to the tests. `command` is what a person typed, `minutes` the default. */
export function readLongRun(command, minutes) {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: String(minutes) },
        seed: { type: 'string' },
      },
    });
    const wanted = Number(values.minutes);
    if (!(wanted > 0)) throw new Failure('--minutes must be a number above 0.');
    if (values.seed !== undefined) process.env.VOLANT_TEST_SEED = values.seed;
    return { minutes: wanted, seconds: Math.round(wanted * 60) };
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new Failure(`${error.message}\nUse: ${command} -- [--minutes N] [--seed N]`);
  }
}

/** The daemon and the tests, of the sources that are there. */
export async function buildForLongRun() {
  await run('npm', ['run', '--silent', 'build'], { cwd: PROJECT_ROOT });
  await run('npx', ['tsc', '-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
}

/** Runs these files, one after the other, each in a network of its own, and says how it went. */
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
