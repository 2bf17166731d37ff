// scripts: sends requests to a daemon that a fuzzer generates from its OpenAPI document (npm run fuzz:api -- --requests N
// --seed N), and prints wrong answers. The test file defines the requests and checks.

import { readArguments } from './lib/arguments.mjs';
import { Failure, runMain } from './lib/command.mjs';
import { buildForLongRun, runLong } from './lib/tests/long-runs.mjs';

const USE = 'Use: npm run fuzz:api [-- --requests N --seed N --only N]';
const REQUESTS = '50000';
/** Rate on a busy machine; an idle one is much faster. */
const REQUESTS_PER_MINUTE = 600;

function readRequest() {
  const options = {
    requests: { type: 'string', default: REQUESTS },
    seed: { type: 'string' },
    only: { type: 'string' },
  };
  const { values } = readArguments({ options }, USE);
  for (const [name, value] of Object.entries(values)) {
    if (!/^\d{1,9}$/.test(value)) throw new Failure(`--${name} must be a whole number.\n${USE}`);
  }
  if (values.only !== undefined && values.seed === undefined) {
    throw new Failure(`--only needs the --seed of its run.\n${USE}`);
  }
  return values;
}

await runMain(async () => {
  const { requests, seed, only } = readRequest();
  await buildForLongRun();
  process.env.VOLANT_TEST_FUZZ_REQUESTS = requests;
  process.env.VOLANT_TEST_FUZZ_TELL = '1';
  if (seed !== undefined) process.env.VOLANT_TEST_SEED = seed;
  if (only !== undefined) process.env.VOLANT_TEST_FUZZ_ONLY = only;
  await runLong([{ name: 'fuzz-api', minutes: Number(requests) / REQUESTS_PER_MINUTE }]);
});
