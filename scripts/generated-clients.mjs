// scripts: tests client generators of others with docs/openapi.json (npm run clients [-- --api URL]). Each generates a
// client, which is compiled. With a daemon's URL it also creates a VM, changes it and reads an error. Steps whose tools are
// missing or cannot be downloaded are skipped and reported. The generator for TypeScript is tested in the test suite
// instead.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GENERATORS, Unavailable } from './lib/api/client-generators.mjs';
import { readArguments } from './lib/arguments.mjs';
import { runMain } from './lib/command.mjs';

const OPTIONS = { api: { type: 'string' }, keep: { type: 'boolean', default: false } };
const USE = 'Use: npm run clients -- [--api URL] [--keep]';

await runMain(async () => {
  const { api = null, keep } = readArguments({ options: OPTIONS }, USE).values;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const say = (how, name, text) => process.stdout.write(`${how.padEnd(6)} ${name}: ${text}\n`);
  const folder = mkdtempSync(join(tmpdir(), 'volant-clients-'));
  try {
    for (const { name, attempt } of GENERATORS) {
      const done = [];
      try {
        await attempt({ folder: join(folder, name.replaceAll(/\W+/g, '-')), api, done });
        counts.passed += 1;
        say('ok', name, done.join(', '));
      } catch (error) {
        if (error instanceof Unavailable) {
          counts.skipped += 1;
          const before = done.length === 0 ? '' : `${done.join(', ')}; `;
          say('SKIP', name, `${before}${error.message}`);
        } else if (error instanceof Failure) {
          counts.failed += 1;
          say('FAILED', name, error.message);
        } else throw error;
      }
    }
  } finally {
    if (keep) process.stdout.write(`The clients are in ${folder}\n`);
    else rmSync(folder, { recursive: true, force: true });
  }
  const { passed, failed, skipped } = counts;
  process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  if (failed > 0) process.exitCode = 1;
});
