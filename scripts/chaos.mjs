// scripts: runs the tests with kills and injected errors for a chosen time (npm run test:chaos -- --minutes N): every fail
// point once, then many clients and random faults. The test files define the tests.

import { runMain } from './lib/command.mjs';
import { buildForLongRun, readLongRun, runLong } from './lib/tests/long-runs.mjs';

const MINUTES = 30;
/** Maximum time for all fail points. */
const PLACES_MINUTES = 50;

await runMain(async () => {
  const { minutes, seconds } = readLongRun('npm run test:chaos', MINUTES);
  await buildForLongRun();
  process.env.VOLANT_TEST_CHAOS = '1';
  process.env.VOLANT_TEST_CHAOS_SECONDS = String(seconds);
  await runLong([
    { name: 'fail-points', minutes: PLACES_MINUTES },
    { name: 'chaos', minutes },
  ]);
});
