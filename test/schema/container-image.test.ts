// What the author of a manifest with a container image relies on: the name is enough, problems are reported by field, and the
// guest gets what it needs of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import { loadConfig } from '../../src/config.ts';
import { mediaPlanOf } from '../../src/engine/media/media-plan.ts';
import type { ManifestInput } from '../../src/schema/manifest.ts';
import { guestManifest } from '../../src/schema/rules/guest-rules.ts';
import { normaliseManifest } from '../../src/schema/rules/manifest-rules.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;

function manifestOf(input: ManifestInput) {
  const result = normaliseManifest(input, LIMITS);
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  return result.manifest;
}

function problemsOf(input: ManifestInput): string[] {
  const result = normaliseManifest({ name: 'x', image: 'nginx', ...input }, LIMITS);
  return 'problems' in result ? Object.keys(result.problems).sort() : [];
}

test('a name and an image are a manifest', () => {
  const manifest = manifestOf({ name: 'web', image: ' nginx:1.27 ' });
  assert.equal(manifest.image, 'nginx:1.27');
  assert.equal(manifest.version, '1.27');
  assert.deepEqual(manifest.resources, { cpu_cores: 1, memory_mb: 512 });
  assert.deepEqual(manifest.workload, { type: 'exec', entrypoint: [] });
  const plan = mediaPlanOf({ manifest, resources: manifest.resources });
  assert.equal(plan.bootsFromDisk, true);
  const [disk, ...others] = plan.disks;
  assert.equal(others.length, 0);
  assert.deepEqual(disk?.source, {
    field: 'image',
    location: 'nginx:1.27',
    isRemote: true,
    checksum: null,
    isContainerImage: true,
  });
  assert.equal(guestManifest(manifest, []).image, 'nginx:1.27');
});

test('what the manifest says reaches the guest in the form that its agent takes', () => {
  const workload = {
    args: ['-x'],
    user: 'web:web',
    stop_signal: 'SIGQUIT',
    base_url: 'http://127.0.0.1:80',
  };
  const manifest = manifestOf({
    name: 'web',
    image: `app@${DIGEST}`,
    image_digest: DIGEST,
    workload,
  });
  assert.equal(manifest.workload.type, 'http');
  const { workload: given } = guestManifest(manifest, []);
  assert.deepEqual(given, { type: 'http', entrypoint: [], ...workload, stop_signal: 3 });
});

test('beside files an image is a note, as before', () => {
  const rest = { version: '1', resources: { cpu_cores: 1, memory_mb: 128 } };
  const workload = { type: 'http', base_url: 'http://127.0.0.1:80', entrypoint: ['/x'] };
  const files = { initramfs: { url: '/srv/x.cpio' } };
  const manifest = manifestOf({ name: 'web', image: 'Any Text', ...rest, workload, ...files });
  assert.equal(mediaPlanOf({ manifest, resources: manifest.resources }).bootsFromDisk, false);
  assert.equal('image' in guestManifest(manifest, []), false);
});

test('what is wrong is reported by its field', () => {
  assert.deepEqual(problemsOf({ image: 'No Name' }), ['image', 'version']);
  assert.deepEqual(problemsOf({ image_digest: 'latest' }), ['image_digest']);
  assert.deepEqual(problemsOf({ image: `a@sha256:${'1'.repeat(64)}`, image_digest: DIGEST }), [
    'image_digest',
  ]);
  assert.deepEqual(problemsOf({ workload: { stop_signal: 'SIGNONE', user: 'a b' } }), [
    'workload.stop_signal',
    'workload.user',
  ]);
  assert.deepEqual(problemsOf({ workload: { args: Array.from({ length: 300 }, () => 'x') } }), [
    'workload.args',
  ]);
  assert.deepEqual(
    problemsOf({ health_check: { endpoint: '/health' } }),
    [],
    'the port may be one that the image exposes',
  );
  assert.deepEqual(problemsOf({ image: '' }), [
    'initramfs.url',
    'resources.cpu_cores',
    'resources.memory_mb',
    'version',
    'workload.base_url',
    'workload.entrypoint',
    'workload.type',
  ]);
});

test('settings of registries are checked', () => {
  const { registries } = loadConfig({
    VOLANT_REGISTRY_MIRRORS: 'docker.io=mirror.lan:5000/hub,docker.io=other.lan',
    VOLANT_REGISTRY_INSECURE: 'Mirror.LAN:5000',
    VOLANT_REGISTRY_AUTH_FILE: '/etc/volant/auth.json',
  });
  assert.deepEqual(registries, {
    authFile: '/etc/volant/auth.json',
    mirrors: new Map([['docker.io', ['mirror.lan:5000/hub', 'other.lan']]]),
    insecure: ['mirror.lan:5000'],
  });
  const wrong = { VOLANT_REGISTRY_MIRRORS: 'docker.io="x"', VOLANT_REGISTRY_INSECURE: 'a b' };
  assert.throws(() => loadConfig(wrong), /VOLANT_REGISTRY_MIRRORS.*VOLANT_REGISTRY_INSECURE/);
});
