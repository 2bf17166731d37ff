// cli: apply creates what is missing, changes what differs, and leaves everything else unchanged.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { covers } from '../../src/cli/apply/members.ts';
import { type SeenRequest, sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { directoryWith, volar } from './volar.ts';

const config = { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 128 }, metadata: { a: 1 } };
const bigger = { ...config, resources: { cpu_cores: 1, memory_mb: 256 } };
const web = { name: 'web', desired_replicas: 2, max_unavailable: 1, config };

const documents = [
  { kind: 'VM', name: 'new', plugin: 'hello' },
  { kind: 'vm', name: 'same', plugin: 'hello', memory_mb: 128, config: { metadata: { a: 1 } } },
  { kind: 'VM', name: 'other', memory_mb: 256 },
  { kind: 'Deployment', name: 'web', replicas: 3, config: { plugin: 'hello' } },
  { kind: 'Deployment', name: 'fresh', replicas: 1, config: { plugin: 'hello' } },
  { kind: 'Plugin', name: 'mine', version: '2' },
];

const actions = [{ action: 'launch', subject: 'something' }];
const dry = (more: object) => ({ dry_run: true, actions, ...more });

const KNOWN: Readonly<Record<string, unknown>> = {
  'GET /api/v1/system/summary': { plugins: [{ name: 'hello', enabled: true }] },
  'GET /api/v1/plugins/mine': { name: 'mine', version: '1', enabled: true },
  'POST /api/v1/plugins': {},
  'POST /api/v1/vms': vmBody('new'),
  'GET /api/v1/vms/same/config': { version: 1, config },
  'GET /api/v1/vms/other/config': { version: 4, config },
  'PATCH /api/v1/vms/other/config': { version: 5, config, pending_restart: true },
  'PATCH /api/v1/vms/other/config?dry_run=true': dry({ version: 5, config: bigger }),
  'GET /api/v1/deployments/web': web,
  'PATCH /api/v1/deployments/web': { ready_replicas: 2, desired_replicas: 3 },
  'PATCH /api/v1/deployments/web?dry_run=true': dry({ ...web, desired_replicas: 3 }),
  'POST /api/v1/deployments': { ready_replicas: 1, desired_replicas: 1 },
  'POST /api/v1/deployments?dry_run=true': dry({ ...web, name: 'fresh' }),
};

/** Answers as a daemon does that has the objects above. */
const startApi = (t: TestContext, more: Readonly<Record<string, unknown>> = {}) =>
  startFakeDaemon(t, ({ method, path, body }, response) => {
    const call = `${method} ${path}`;
    if (call === 'POST /api/v1/vms?dry_run=true' && !(call in more)) {
      const request = JSON.parse(body);
      const manifest = { ...request.config?.manifest, enabled: true };
      return sendJson(response, 200, dry({ config: { ...config, ...request.config, manifest } }));
    }
    const known = more[call] ?? KNOWN[call];
    if (known === undefined) return sendJson(response, 404, { error: 'none', code: 'NOT_FOUND' });
    return sendJson(response, 200, known);
  });

const changes = (seen: readonly SeenRequest[]) =>
  seen
    .filter(({ method, path }) => method !== 'GET' && !path.includes('dry_run'))
    .map(({ method, path, body }) => [`${method} ${path}`, body === '' ? null : JSON.parse(body)]);

test('each document is created, changed or left alone, plugins first', async (t) => {
  const daemon = await startApi(t);
  const text = JSON.stringify(documents);
  const { status, stdout, stderr } = await volar(t, daemon.url, ['apply', '-f', '-'], text);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'Plugin mine  changed: version, runtime',
    'VM new  created',
    'VM same  unchanged',
    'VM other  changed: resources.memory_mb; takes effect at the next start',
    'Deployment web  changed: replicas; 2 of 3 ready',
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

test('what delays a deployment is said with its counts, whatever changed it', async (t) => {
  const degraded = { type: 'Degraded', status: true, reason: 'CreateFailed', message: 'no luck' };
  const stuck = {
    name: 'web',
    desired_replicas: 6,
    ready_replicas: 4,
    updated_replicas: 1,
    max_unavailable: 1,
    conditions: [degraded],
    config: { plugin: 'hello' },
  };
  const daemon = await startFakeDaemon(t, ({ path }, response) => {
    const isDry = path.includes('dry_run');
    sendJson(response, 200, isDry ? dry({ ...stuck, config: { plugin: 'other' } }) : stuck);
  });
  const document = { kind: 'Deployment', name: 'web', replicas: 6, config: { plugin: 'other' } };
  const changed = await volar(t, daemon.url, ['apply', '-f', '-'], JSON.stringify(document));
  assert.equal(changed.stdout, 'Deployment web  changed: config.plugin; 4 of 6 ready; no luck\n');
  const same = JSON.stringify({ ...document, config: stuck.config });
  const unchanged = await volar(t, daemon.url, ['apply', '-f', '-'], same);
  assert.equal(unchanged.stdout, 'Deployment web  unchanged; 4 of 6 ready; no luck\n');
  for (const words of ['deployments scale web 6', 'vms scale web --replicas 6']) {
    const { stdout } = await volar(t, daemon.url, words.split(' '));
    assert.equal(stdout, 'web  4 of 6 ready; no luck\n');
  }
});

test('a dry run asks for plans only', async (t) => {
  const daemon = await startApi(t);
  const list = JSON.stringify({ items: documents });
  const { stdout } = await volar(t, daemon.url, ['apply', '--dry-run', '-f', '-'], list);
  assert.match(stdout, /^VM new {2}would be created\n {2}launch something/m);
  assert.match(stdout, /^VM other {2}would be changed: resources.memory_mb$/m);
  assert.deepEqual(changes(daemon.seen), []);
});

test('a change that the daemon finds to be none is unchanged', async (t) => {
  const patch = 'PATCH /api/v1/vms/other/config?dry_run=true';
  const daemon = await startApi(t, { [patch]: dry({ version: 4, config }) });
  const text = JSON.stringify({ kind: 'VM', name: 'other', config: { network: null, api: {} } });
  const { stdout } = await volar(t, daemon.url, ['apply', '-f', '-'], text);
  assert.equal(stdout, 'VM other  unchanged\n');
  assert.deepEqual(changes(daemon.seen), []);
});

test('--json has one value on each line, with the members that changed', async (t) => {
  const daemon = await startApi(t);
  const text = JSON.stringify(documents.slice(1, 4));
  const { stdout } = await volar(t, daemon.url, ['--json', 'apply', '-f', '-'], text);
  assert.deepEqual(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { kind: 'VM', name: 'same', result: 'unchanged' },
      {
        kind: 'VM',
        name: 'other',
        result: 'changed',
        changes: ['resources.memory_mb'],
        pending_restart: true,
      },
      {
        kind: 'Deployment',
        name: 'web',
        result: 'changed',
        changes: ['replicas'],
        ready: '2 of 3 ready',
      },
    ],
  );
});

test('files, directories and several documents in a file are applied together', async (t) => {
  const daemon = await startApi(t);
  const directory = directoryWith(t, {
    'b.yaml':
      'kind: VM\nname: b\nplugin: hello\n---\n# nothing\n---\n- kind: VM\n  name: c\n  plugin: hello\n',
    'a.json': '{"kind": "VM", "name": "a", "plugin": "hello"}',
    'notes.txt': 'kind: Pod',
    'more.yml': 'items:\n  - {kind: Plugin, name: mine, version: "2"}\n',
  });
  mkdirSync(join(directory, 'below.yaml.d'));
  const words = ['apply', '-f', directory, '-f', '-'];
  const { stdout, stderr } = await volar(
    t,
    daemon.url,
    words,
    '{kind: VM, name: d, plugin: hello}',
  );
  assert.equal(stderr, '');
  const names = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').slice(0, 2).join(' '));
  assert.deepEqual(names, ['Plugin mine', 'VM a', 'VM b', 'VM c', 'VM d']);
});

test('what is wrong with any document is reported at once, with its line, and nothing is changed', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method, path }, response) => {
    if (method === 'GET') return sendJson(response, 404, { error: 'none', code: 'NOT_FOUND' });
    const details = path.includes('deployments')
      ? { 'config.resources.memory_mb': 'is too small', replicas: 'is too large' }
      : { memory_mb: 'must be an integer', 'config.expose[1].port': 'is required' };
    return sendJson(response, 400, { error: 'no', code: 'BODY_INVALID', details });
  });
  const directory = directoryWith(t, {
    'a.yaml': `# first
kind: VM
name: one
memory_mb: lots
config:
  expose:
    - port: 80
    - name: x
---
kind: Deployment
name: web
replicas: 1000000
config:
  resources:
    memory_mb: 1
---
kind: Pod
`,
    'b.json':
      '[\n  {"kind": "VM", "name": "ok"},\n  {"kind": "VM"},\n  7,\n  {"kind": "VM", "name": "two", "config": 5}\n]',
    'c.yaml': 'kind: VM\nname: "broken\n',
    'd.json': '{\n  "kind": }',
    'e.yaml': 'kind: VM\nname: one\n',
  });
  const { status, stderr } = await volar(t, daemon.url, ['--json', 'apply', '-f', directory]);
  assert.equal(status, 2);
  const told = JSON.parse(stderr);
  assert.equal(told.code, 'DOCUMENTS_INVALID');
  const at = (place: string) => told.details[join(directory, place)];
  assert.equal(at('a.yaml:4: document 1 (VM one): memory_mb'), 'must be an integer');
  assert.equal(at('a.yaml:8: document 1 (VM one): config.expose[1].port'), 'is required');
  assert.equal(at('a.yaml:12: document 2 (Deployment web): replicas'), 'is too large');
  const memory = 'a.yaml:15: document 2 (Deployment web): config.resources.memory_mb';
  assert.equal(at(memory), 'is too small');
  assert.equal(
    at('a.yaml:17: document 3'),
    'kind must be one of VM, Deployment, Plugin; has no name',
  );
  assert.equal(at('b.json:3: document 2'), 'has no name');
  assert.equal(at('b.json:4: document 3'), 'is not an object');
  assert.equal(at('b.json:5: document 4'), 'config is not an object');
  assert.match(at('c.yaml:3'), /is neither JSON nor YAML/);
  assert.match(at('d.json:2'), /is not JSON/);
  assert.match(at('e.yaml:1: document 1 (VM one)'), /is in .*a\.yaml:2, too/);
  assert.deepEqual(changes(daemon.seen), []);
});

test('a slip in a document is reported without a daemon, too', async (t) => {
  const text = 'kind: VM\nname: x\n---\nkind: Pod\nname: x\n';
  const { status, stderr } = await volar(t, 'http://127.0.0.1:2', ['apply', '-f', '-'], text);
  assert.equal(status, 2);
  assert.match(stderr, /There is 1 problem in the documents. Nothing was changed/);
  assert.match(stderr, /standard input:4: document 2: kind must be one of VM, Deployment, Plugin/);
});

test('the exit status is that of the refusal where all documents are formed well', async (t) => {
  const refusal = { error: 'There is no plugin named x', code: 'PLUGIN_NOT_FOUND' };
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 404, refusal));
  const text = 'kind: VM\nname: a\nplugin: x\n';
  const { status, stderr } = await volar(t, daemon.url, ['apply', '-f', '-'], text);
  assert.equal(status, 3);
  assert.match(stderr, /standard input:3: document 1 \(VM a\): There is no plugin named x/);
});

test('a refusal in the middle ends it, and says which document it was and what is left', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method, path }, response) => {
    if (method === 'GET') return sendJson(response, 404, { error: 'none', code: 'NOT_FOUND' });
    if (path.includes('dry_run')) return sendJson(response, 200, dry({ config }));
    const isFirst = daemon.calls().filter((call) => call === 'POST /api/v1/vms').length === 1;
    if (isFirst) return sendJson(response, 200, vmBody('a'));
    return sendJson(response, 409, { error: 'there is no room', code: 'MEMORY_EXHAUSTED' });
  });
  const text = ['a', 'b', 'c'].map((name) => `kind: VM\nname: ${name}\nplugin: x\n`).join('---\n');
  const { status, stdout, stderr } = await volar(t, daemon.url, ['apply', '-f', '-'], text);
  assert.equal(status, 4);
  assert.equal(stdout, 'VM a  created\n');
  assert.equal(stderr, 'VM b  failed; not begun: c\nvolar: there is no room\n');
});

test('documents of a plugin that is not there yet are planned with its manifest', async (t) => {
  const daemon = await startApi(t, { 'GET /api/v1/plugins/mine': undefined });
  const text = `kind: VM
name: a
plugin: coming
memory_mb: 64
---
kind: Plugin
name: coming
version: "3"
`;
  const { stdout, status } = await volar(t, daemon.url, ['diff', '-f', '-'], text);
  assert.equal(status, 1);
  const asked = daemon.seen
    .filter(({ path }) => path.endsWith('vms?dry_run=true'))
    .map(({ body }) => JSON.parse(body));
  const manifest = { name: 'hello', version: '3', runtime: 'coming' };
  assert.deepEqual(asked, [
    { name: 'coming', plugin: 'hello', config: { manifest } },
    { name: 'a', plugin: 'hello', memory_mb: 64, config: { plugin: 'hello', manifest } },
  ]);
  assert.match(stdout, /^\+{3} VM a .*\n@@.*\n[\s\S]*^\+plugin: coming$/m);
  assert.doesNotMatch(stdout, /name: hello/);
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
