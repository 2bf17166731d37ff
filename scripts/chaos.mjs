// scripts: runs the tests with kills and errors for as long as somebody likes (npm run test:chaos -- --minutes N): every
// place to fail once, then many clients and mishaps at random. What the tests are is the test files' business.

import { parseArgs } from 'node:util';
import { Failure, run, runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';
import { runInNamespaces, writeOut } from './lib/test-runs.mjs';

const MINUTES = 30;

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { minutes: { type: 'string', default: String(MINUTES) }, seed: { type: 'string' } },
    });
    const minutes = Number(values.minutes);
    if (!(minutes > 0)) throw new Failure('--minutes must be a number above 0.');
    return { minutes, seed: values.seed };
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new Failure(`${error.message}\nUse: npm run test:chaos -- [--minutes N] [--seed N]`);
  }
}

await runMain(async () => {
  const { minutes, seed } = readArguments();
  await run('npm', ['run', '--silent', 'build'], { cwd: PROJECT_ROOT });
  await run('npx', ['tsc', '-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
  process.env.VOLANT_TEST_CHAOS = '1';
  process.env.VOLANT_TEST_CHAOS_SECONDS = String(Math.round(minutes * 60));
  if (seed !== undefined) process.env.VOLANT_TEST_SEED = seed;
  const file = (name) => `.build/test/e2e/${name}.test.js`;
  const first = await runInNamespaces([file('fail-points')], 1, { fileTimeoutMs: 3_600_000 });
  const fileTimeoutMs = minutes * 60_000 + 600_000;
  const second = await runInNamespaces([file('chaos')], 1, { fileTimeoutMs });
  const failed = first.failed + second.failed;
  writeOut(`${first.passed + second.passed} passed, ${failed} failed, 0 skipped\n`);
  if (failed > 0) process.exitCode = 1;
});
