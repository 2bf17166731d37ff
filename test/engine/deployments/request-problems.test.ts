// What a client relies on that asks for a VM or a deployment with several mistakes: members, config and manifest are told of
// together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { draftProblems } from '../../../src/engine/deployments/drafts.ts';
import { requestProblems } from '../../../src/engine/plugins/plugins.ts';

const CONFIG = {
  kernel_cmdline: 'Ω',
  expose: [{ port: 80, host_port: 0 }],
  manifest: { name: 'a', version: '', runtime: 'a b', initramfs: { url: '/x.cpio' } },
};

test('a request that breaks rules in several places gets all of them', () => {
  const problems = requestProblems({ name: 'one', api_port: '99999', config: CONFIG });
  const named = Object.keys(problems);
  for (const path of [
    'api_port',
    'config.kernel_cmdline',
    'config.expose[0].host_port',
    'config.manifest.version',
    'config.manifest.runtime',
  ]) {
    assert.ok(named.includes(path), `${path}: ${named}`);
  }
});

test('the same holds for a deployment and its bounds', () => {
  const named = Object.keys(draftProblems({ replicas: 99_999, config: CONFIG }));
  assert.ok(named.includes('replicas'));
  assert.ok(named.includes('config.kernel_cmdline'));
  assert.ok(named.includes('config.manifest.version'));
  assert.deepEqual(draftProblems({ replicas: 1, config: { plugin: 'hello' } }), {});
});
