// What the agent takes of a manifest is one table: what is generated from it for C and for TypeScript is as new as it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
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
