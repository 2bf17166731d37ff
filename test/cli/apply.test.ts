// cli: apply makes what is missing, changes what differs and leaves alone what is as it shall be.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { covers, toDocuments } from '../../src/cli/apply.ts';
import { type SeenRequest, sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { volar } from './volar.ts';

const config = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 128 }, metadata: { a: 1 } };

const documents = [
  { kind: 'Plugin', name: 'mine', version: '2' },
  { kind: 'VM', name: 'new', plugin: 'hello' },
  { kind: 'vm', name: 'same', plugin: 'hello', memory_mb: 128, config: { metadata: { a: 1 } } },
  { kind: 'VM', name: 'other', memory_mb: 256 },
  { kind: 'Deployment', name: 'web', replicas: 3, config: { plugin: 'hello' } },
  { kind: 'Deployment', name: 'fresh', replicas: 1, config: { plugin: 'hello' } },
];

const KNOWN: Readonly<Record<string, unknown>> = {
  'GET /api/v1/plugins/mine': { name: 'mine', version: '1', enabled: true },
  'POST /api/v1/plugins': {},
  'POST /api/v1/vms': vmBody('new'),
  'GET /api/v1/vms/same/config': { version: 1, config },
  'GET /api/v1/vms/other/config': { version: 4, config },
  'PATCH /api/v1/vms/other/config': { version: 5, config, pending_restart: true },
  'GET /api/v1/deployments/web': { name: 'web', desired_replicas: 2, config },
  'PATCH /api/v1/deployments/web': { ready_replicas: 2, desired_replicas: 3 },
  'POST /api/v1/deployments': { ready_replicas: 1, desired_replicas: 1 },
};

const startApi = (t: Parameters<typeof startFakeDaemon>[0]) =>
  startFakeDaemon(t, ({ method, path }, response) => {
    if (path.includes('dry_run')) {
      const actions = [{ action: 'would', subject: path.split('/')[3] }];
      return sendJson(response, 200, { dry_run: true, actions });
    }
    const body = KNOWN[`${method} ${path}`];
    if (body === undefined) return sendJson(response, 404, { error: 'none', code: 'NOT_FOUND' });
    return sendJson(response, 200, body);
  });

const changes = (seen: readonly SeenRequest[]) =>
  seen
    .filter(({ method }) => method !== 'GET')
    .map(({ method, path, body }) => [`${method} ${path}`, JSON.parse(body)]);

test('each document is created, changed or left alone', async (t) => {
  const daemon = await startApi(t);
  const text = JSON.stringify(documents);
  const { status, stdout, stderr } = await volar(t, daemon.url, ['apply', '-f', '-'], text);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'Plugin mine  changed',
    'VM new  created',
    'VM same  unchanged',
    'VM other  changed; takes effect at the next start',
    'Deployment web  changed; 2 of 3 ready',
    'Deployment fresh  created; 1 of 1 ready',
  ]);
  assert.deepEqual(changes(daemon.seen), [
    ['POST /api/v1/plugins', { name: 'mine', version: '2' }],
    ['POST /api/v1/vms', { name: 'new', plugin: 'hello' }],
    ['PATCH /api/v1/vms/other/config', { resources: { memory_mb: 256 } }],
    ['PATCH /api/v1/deployments/web', { replicas: 3 }],
    ['POST /api/v1/deployments', { name: 'fresh', replicas: 1, config: { plugin: 'hello' } }],
  ]);
  assert.ok(daemon.seen.every(({ method, strict }) => strict === (method !== 'GET')));
  const patched = daemon.seen.find(({ path, method }) => method === 'PATCH' && /vms/.test(path));
  assert.equal(patched?.headers['if-match'], '"4"', 'only the version that was compared');
});

test('a dry run asks for plans only', async (t) => {
  const daemon = await startApi(t);
  const list = JSON.stringify({ items: documents });
  const { stdout } = await volar(t, daemon.url, ['apply', '--dry-run', '-f', '-'], list);
  assert.match(stdout, /^VM new {2}would be created\n {2}would vms/m);
  const wrote = changes(daemon.seen).filter(([call]) => !String(call).endsWith('dry_run=true'));
  assert.deepEqual(wrote, []);
});

test('a slip in the last document changes nothing', async (t) => {
  const daemon = await startApi(t);
  const text = JSON.stringify([documents[1], { kind: 'Pod', name: 'x' }]);
  const { status, stderr } = await volar(t, daemon.url, ['apply', '-f', '-'], text);
  assert.equal(status, 2);
  assert.match(stderr, /number 2: kind must be one of VM, Deployment, Plugin/);
  assert.deepEqual(daemon.calls(), []);
});

test('a document, a list and an object with items are the same to apply', () => {
  const [document] = toDocuments({ kind: 'VM', name: 'a' }, 'x');
  assert.deepEqual(toDocuments([{ kind: 'VM', name: 'a' }], 'x'), [document]);
  assert.deepEqual(toDocuments({ items: [{ kind: 'VM', name: 'a' }] }, 'x'), [document]);
  assert.throws(() => toDocuments([{ kind: 'VM' }], 'x'), /has no name/);
});

test('what is there covers what is wanted when every wanted member is there', () => {
  assert.ok(covers({ a: 1, b: { c: [1, { d: 2 }] } }, { b: { c: [1, {}] } }));
  assert.ok(covers({ a: 1 }, { b: null, c: undefined }));
  for (const wanted of [{ a: 2 }, { a: { b: 1 } }, { c: [1] }, { a: null }, [1], 'x']) {
    assert.equal(covers({ a: 1, c: [1, 2] }, wanted), false, JSON.stringify(wanted));
  }
});

test('paths of a config and of its manifest are relative to the file, whatever the document is', async (t) => {
  const daemon = await startApi(t);
  const config = { rootfs: { url: 'root.img' }, manifest: { initramfs: { url: 'a/b.cpio' } } };
  const text = JSON.stringify({ kind: 'Deployment', name: 'fresh', replicas: 1, config });
  await volar(t, daemon.url, ['apply', '-f', '-'], text);
  const [[, sent] = []] = changes(daemon.seen);
  assert.equal(sent.config.rootfs.url, join(process.cwd(), 'root.img'));
  assert.equal(sent.config.manifest.initramfs.url, join(process.cwd(), 'a/b.cpio'));
});
