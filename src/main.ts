#!/usr/bin/env node
// main: the program volantd. Looks whether a daemon can be loaded at all, then hands over to daemon.ts: with too few
// open files the modules themselves cannot be read, and what fails then tells nobody anything.

import { REFUSED } from './command.ts';
import { LIMITS } from './config.ts';
import { descriptorLimit } from './lib/descriptors.ts';

const limit = descriptorLimit();
if (limit < LIMITS.descriptorsMin) {
  const why = `it may have ${limit} files open and needs ${LIMITS.descriptorsMin}`;
  const remedy = 'raise the hard limit (ulimit -Hn, or LimitNOFILE in its unit)';
  process.stderr.write(`volantd cannot start: ${why}: ${remedy}\n`);
  process.exitCode = REFUSED;
} else {
  const { start } = await import('./daemon.ts');
  await start(process.argv.slice(2));
}
