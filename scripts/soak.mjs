// scripts: sends all kinds of requests to a daemon for a chosen time (npm run soak -- --minutes N), and fails if its memory
// or descriptors keep growing; with --scraped a Prometheus reads its metrics meanwhile, and they are compared with its events.
// The test files define the requests and measurements.

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';
import { buildForLongRun, readLongRun, runLong } from './lib/tests/long-runs.mjs';
import { writeOut } from './lib/tests/test-runs.mjs';

const MINUTES = 60;

await runMain(async () => {
  const { minutes, seconds, scraped } = readLongRun('npm run soak', MINUTES, ['scraped']);
  await buildForLongRun();
  if (scraped) {
    process.env.VOLANT_TEST_SCRAPED_SECONDS = String(seconds);
    await runLong([{ name: 'scraped', minutes }]);
    return;
  }
  const directory = join(PROJECT_ROOT, 'build/soak');
  const table = join(directory, 'samples.csv');
  mkdirSync(directory, { recursive: true });
  rmSync(table, { force: true });
  writeOut(`Samples are written to ${table}\n`);
  process.env.VOLANT_TEST_SOAK_SECONDS = String(seconds);
  process.env.VOLANT_TEST_SOAK_TABLE = table;
  await runLong([{ name: 'soak', minutes }]);
});
