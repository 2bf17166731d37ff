// What whoever writes a manifest of type none relies on: it needs nothing else, what describes a program is refused by its field,
// and checks that need no program are taken.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import type { ManifestInput } from '../../../src/schema/manifest.ts';
import { guestManifest } from '../../../src/schema/rules/guest-rules.ts';
import { normaliseManifest } from '../../../src/schema/rules/manifest-rules.ts';

const OF_IMAGE = { name: 'box', image: 'alpine:3' };
const OF_FILES = {
  name: 'box',
  version: '1',
  resources: { cpu_cores: 1, memory_mb: 128 },
  initramfs: { url: '/srv/box.cpio' },
};

function problemsOf(input: ManifestInput): Readonly<Record<string, string>> {
  const result = normaliseManifest(input, LIMITS);
  return 'problems' in result ? result.problems : {};
}

test('it is complete, with an image and with files', () => {
  for (const media of [OF_IMAGE, OF_FILES]) {
    const result = normaliseManifest({ ...media, workload: { type: ' None ' } }, LIMITS);
    assert.ok('manifest' in result, JSON.stringify(result));
    assert.deepEqual(result.manifest.workload, { type: 'none', entrypoint: [] });
    assert.deepEqual(guestManifest(result.manifest, []).workload, { type: 'none', entrypoint: [] });
  }
});

test('each member that describes a program is refused by its field; what says nothing is not', () => {
  const described = {
    base_url: 'http://127.0.0.1:80',
    entrypoint: ['/bin/x'],
    args: ['-v'],
    env: { A: '1' },
    workdir: '/srv',
    user: 'web',
    stop_signal: 'SIGINT',
    restart: 'never',
  };
  const problems = problemsOf({ ...OF_IMAGE, workload: { type: 'none', ...described } });
  const paths = Object.keys(described).map((member) => `workload.${member}`);
  assert.deepEqual(Object.keys(problems).sort(), paths.sort());
  for (const problem of Object.values(problems)) assert.match(problem, /type none/);
  const empty = {
    base_url: '',
    entrypoint: [],
    args: [],
    env: {},
    workdir: ' ',
    user: '',
    stop_signal: '',
    restart: '',
  };
  assert.deepEqual(problemsOf({ ...OF_IMAGE, workload: { type: 'none', ...empty } }), {});
});

test('a command and a port can be checked, a path cannot', () => {
  const check = (health_check: ManifestInput['health_check'], media: ManifestInput = OF_IMAGE) =>
    Object.keys(
      problemsOf({ ...media, workload: { type: 'none' }, ...(health_check && { health_check }) }),
    );
  assert.deepEqual(check({ type: 'none' }), []);
  assert.deepEqual(check({ command: ['/bin/true'] }), []);
  assert.deepEqual(check({ port: 5432 }), []);
  for (const media of [OF_IMAGE, OF_FILES]) {
    assert.deepEqual(check({ type: 'tcp' }, media), ['health_check.port']);
    assert.deepEqual(check({ endpoint: '/health' }, media), ['health_check.endpoint']);
  }
});
