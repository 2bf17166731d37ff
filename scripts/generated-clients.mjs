// scripts: tries what others' generators make of docs/openapi.json (npm run clients [-- --api URL]): each makes a client, which
// is compiled and, where a daemon is named, makes a VM, changes it and reads an error. What the machine lacks, or what cannot
// be fetched, is skipped, and said. TypeScript is not here: it is among the tests.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { GENERATORS, Lacking } from './lib/client-generators.mjs';
import { Failure, runMain } from './lib/command.mjs';

function readArguments() {
  try {
    const { values } = parseArgs({
      options: { api: { type: 'string' }, keep: { type: 'boolean', default: false } },
    });
    return values;
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new Failure(`${error.message}\nUse: npm run clients -- [--api URL] [--keep]`);
  }
}

await runMain(async () => {
  const { api = null, keep } = readArguments();
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
        if (error instanceof Lacking) {
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
