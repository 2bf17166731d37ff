// What authors of plugins for the earlier implementation rely on: each form of a manifest that its documents show is
// installed as it is, and comes back with everything that it said.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { LIMITS } from '../../src/config.ts';
import { type ManifestInput, ManifestSchema } from '../../src/schema/manifest.ts';
import { normaliseManifest } from '../../src/schema/manifest-rules.ts';
import { compileValidator } from '../../src/schema/validate.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const path = join(PROJECT_ROOT, 'test/fixtures/earlier-manifests.json');
const FORMS = JSON.parse(readFileSync(path, 'utf8')) as Record<string, ManifestInput>;

const problemsOf = compileValidator(ManifestSchema);

/** Every member that is there and says something, with its path. */
function leaves(value: unknown, at = ''): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return value === null ? [] : [[at, value]];
  return Object.entries(value).flatMap(([key, item]) => leaves(item, `${at}.${key}`));
}

suite('manifests of the earlier implementation', () => {
  for (const [what, manifest] of Object.entries(FORMS)) {
    test(what, () => {
      assert.equal(problemsOf(manifest), null);
      const result = normaliseManifest(manifest, LIMITS);
      assert.ok('manifest' in result, JSON.stringify(result));
      assert.equal(problemsOf(result.manifest), null, 'its normal form can be installed, too');
      const kept = new Map(leaves(result.manifest));
      for (const [member, value] of leaves(manifest)) {
        assert.deepEqual(kept.get(member), value, member);
      }
    });
  }
});
