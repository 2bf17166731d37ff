// scripts: runs the tests with kills and errors for as long as somebody likes (npm run test:chaos -- --minutes N): every
// place to fail once, then many clients and mishaps at random. What the tests are is the test files' business.

import { runMain } from './lib/command.mjs';
import { buildForLongRun, readLongRun, runLong } from './lib/long-runs.mjs';

const MINUTES = 30;
/** Every place to fail takes so long at most. */
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
