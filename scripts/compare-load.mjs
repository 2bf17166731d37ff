// scripts: compares the percentiles of volant-load with those of wrk on one daemon, for a chosen time (npm run load:compare --
// --minutes N). The test file defines what is compared.

import { runMain } from './lib/command.mjs';
import { buildForLongRun, readLongRun, runLong } from './lib/tests/long-runs.mjs';

const MINUTES = 2;

await runMain(async () => {
  const { minutes, seconds } = readLongRun('npm run load:compare', MINUTES);
  await buildForLongRun();
  process.env.VOLANT_TEST_COMPARED_SECONDS = String(seconds);
  await runLong([{ name: 'load-compared', minutes }]);
});
