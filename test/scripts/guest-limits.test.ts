// scripts: the limits of the agent for manifests are one table, and the files generated from it are up to date.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { GUEST_LIMITS } from '../../src/schema/rules/guest-limits.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const generator = join(PROJECT_ROOT, 'scripts/generate-guest-limits.mjs');

test('limits of the guest: header and module are those of the table (npm run guest-limits)', async () => {
  const { generatedFiles } = (await import(generator)) as {
    generatedFiles: () => ReadonlyMap<string, string>;
  };
  const files = generatedFiles();
  assert.equal(files.size, 2);
  for (const [path, text] of files) {
    assert.equal(readFileSync(join(PROJECT_ROOT, path), 'utf8'), text, path);
  }
});

test('what the daemon accepts for an exec, the agent takes', () => {
  assert.ok(LIMITS.execArgumentsMax <= GUEST_LIMITS.argumentsMax);
  assert.ok(LIMITS.execVariablesMax <= GUEST_LIMITS.variablesMax);
});
