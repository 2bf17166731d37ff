#!/usr/bin/env node
// main: the program volantd. Checks that enough files may be opened, then hands over to daemon.ts: with too few the
// modules cannot be loaded, and the resulting errors are unclear.

import { REFUSED } from './command.ts';
import { LIMITS } from './config/limits.ts';
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
