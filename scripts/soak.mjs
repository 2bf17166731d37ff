// scripts: asks a daemon for everything for as long as somebody likes (npm run soak -- --minutes N), and fails where it
// holds more and more. What is asked and measured is the test file's business.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runMain } from './lib/command.mjs';
import { buildForLongRun, readLongRun, runLong } from './lib/long-runs.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';
import { writeOut } from './lib/test-runs.mjs';

const MINUTES = 60;

await runMain(async () => {
  const { minutes, seconds } = readLongRun('npm run soak', MINUTES);
  await buildForLongRun();
  const directory = join(PROJECT_ROOT, 'build/soak');
  const table = join(directory, 'samples.csv');
  mkdirSync(directory, { recursive: true });
  rmSync(table, { force: true });
  writeOut(`Samples are written to ${table}\n`);
  process.env.VOLANT_TEST_SOAK_SECONDS = String(seconds);
  process.env.VOLANT_TEST_SOAK_TABLE = table;
  await runLong([{ name: 'soak', minutes }]);
});
