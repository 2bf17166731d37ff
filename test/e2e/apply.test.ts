// e2e: files of documents against a real daemon whose hypervisor is the simulator: apply, diff, prune.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { directoryWith, startVolar, volar } from '../cli/volar.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

const RESOURCES = { cpu_cores: 1, memory_mb: 64 };

/** The documents of a plugin that is not installed, a VM and a deployment of it; the plugin is last in the order of the names. */
async function filesOf(t: TestContext, daemon: Daemon, memoryMb = 64): Promise<string> {
  const shown = await volar(t, daemon.url, ['plugins', 'show', 'hello']);
  const plugin = { ...JSON.parse(shown.stdout), kind: 'Plugin', name: 'mine' };
  return directoryWith(t, {
    'fleet.yaml': `kind: VM
name: one
plugin: mine
memory_mb: ${memoryMb}
config:
  metadata: {team: blue}
---
kind: Deployment
name: web
replicas: 2
config:
  plugin: mine
  resources: ${JSON.stringify(RESOURCES)}
  metadata: {team: blue}
`,
    'plugin.json': JSON.stringify({ ...plugin, labels: { team: 'blue' } }),
  });
}

test('diff, apply, diff: a plugin that is new with a VM and a deployment of it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const type = (...words: string[]) => volar(t, daemon.url, words);
  const files = await filesOf(t, daemon);

  const before = await type('diff', '-f', files);
  assert.equal(before.status, 1, before.stderr);
  assert.match(before.stdout, /^\+{3} Plugin mine [\s\S]*^\+{3} VM one [\s\S]*^\+plugin: mine$/m);
  const dry = await type('apply', '--dry-run', '-f', files);
  assert.match(dry.stdout, /^VM one {2}would be created\n {2}\S+/m);
  assert.equal((await daemon.call('GET', '/api/v1/plugins/mine')).status, 404);

  const lines = ['Plugin mine  created', 'VM one  created', 'Deployment web  created; '];
  const made = await type('apply', '-f', files, '--wait');
  assert.equal(made.status, 0, made.stderr);
  for (const line of lines) assert.ok(made.stdout.includes(line), made.stdout);
  const again = await type('apply', '-f', files);
  assert.deepEqual(again.stdout.trimEnd().split('\n'), [
    'Plugin mine  unchanged',
    'VM one  unchanged',
    'Deployment web  unchanged; 2 of 2 ready',
  ]);
  const same = await type('diff', '-f', files);
  assert.deepEqual([same.status, same.stdout, same.stderr], [0, '', '']);

  const bigger = await filesOf(t, daemon, 96);
  const differs = await type('diff', '-f', bigger);
  assert.equal(differs.status, 1);
  assert.match(differs.stdout, /^-\s+memory_mb: 64\n\+\s+memory_mb: 96$/m);
  const changed = await type('--json', 'apply', '-f', bigger);
  assert.deepEqual(JSON.parse(changed.stdout.split('\n')[1] ?? ''), {
    kind: 'VM',
    name: 'one',
    result: 'changed',
    changes: ['resources.memory_mb'],
    pending_restart: true,
  });
  assert.equal((await type('diff', '-f', bigger)).status, 0);
});

test('what the daemon refuses in any document is reported with its line, and nothing is changed', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const directory = directoryWith(t, {
    'a.yaml': `kind: Plugin
name: mine
version: "1"
resources:
  cpu_cores: 1
  memory_mb: 1
initramfs: {url: "http://127.0.0.1/x.cpio"}
workload:
  type: http
  base_url: nowhere
  entrypoint: [/bin/x]
---
kind: VM
name: good
plugin: hello
---
kind: VM
name: bad
plugin: hello
memory_mb: 1
config:
  resourcez: {}
---
kind: Deployment
name: web
replicas: 1
config:
  plugin: nothing
`,
  });
  const { status, stderr, stdout } = await volar(t, daemon.url, ['apply', '-f', directory]);
  assert.equal(status, 1, stderr);
  assert.equal(stdout, '');
  assert.match(stderr, /Nothing was changed/);
  const told = [
    /a\.yaml:6: document 1 \(Plugin mine\): resources\.memory_mb: /,
    /a\.yaml:10: document 1 \(Plugin mine\): workload\.base_url: /,
    /a\.yaml:20: document 3 \(VM bad\): memory_mb: /,
    /a\.yaml:22: document 3 \(VM bad\): config\.resourcez: is not known; did you mean resources/,
    /a\.yaml:28: document 4 \(Deployment web\): There is no plugin named nothing/,
  ];
  for (const line of told) assert.match(stderr, line);
  assert.doesNotMatch(stderr, /VM good/);
  assert.deepEqual((await daemon.call('GET', '/api/v1/vms')).body, []);
});

test('an apply that was killed continues with the next one', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const names = Array.from({ length: 8 }, (_, at) => `vm-${at + 1}`);
  // The kill finds the third one on its way.
  const slow = { config: { metadata: { simulator: { start_delay_ms: 8_000 } } } };
  const documents = names.map((name) => ({
    ...{ kind: 'VM', name, plugin: 'hello', memory_mb: 64 },
    ...(name === 'vm-3' ? slow : {}),
  }));
  const directory = directoryWith(t, { 'all.json': JSON.stringify(documents) });
  const words = ['apply', '-f', directory];
  const killed = startVolar(t, words, { VOLANT_API_BASE: daemon.url });
  await killed.printed(/vm-2 {2}created/);
  killed.kill('SIGKILL');
  assert.equal((await killed.ended).status, null);
  const after = await volar(t, daemon.url, words);
  assert.equal(after.status, 0, after.stderr);
  assert.match(after.stdout, /^VM vm-1 {2}unchanged\nVM vm-2 {2}unchanged\n/);
  const { body } = await daemon.call('GET', '/api/v1/vms?sort=name&order=asc');
  assert.deepEqual(body.map(({ name }: { name: string }) => name).sort(), names);
  const last = await volar(t, daemon.url, words);
  assert.equal(last.stdout, names.map((name) => `VM ${name}  unchanged\n`).join(''));
});

test('prune deletes what is labelled and gone from the files, and nothing else', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  await daemon.createVm('alone', { memory_mb: 64 });
  await daemon.createVm('red', { memory_mb: 64, config: { metadata: { team: 'red' } } });
  const files = await filesOf(t, daemon);
  const type = (...words: string[]) => volar(t, daemon.url, words);
  assert.equal((await type('apply', '-f', files)).status, 0);
  const rest = directoryWith(t, { 'rest.yaml': 'kind: VM\nname: one\n' });
  const prune = ['apply', '-f', rest, '--prune', '-l', 'team=blue'];
  assert.match((await type(...prune)).stderr, /needs --yes/);
  const { status, stdout, stderr } = await type(...prune, '--yes');
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'VM one  unchanged',
    'Deployment web  pruned',
    'Plugin mine  pruned',
  ]);
  const { body } = await daemon.call('GET', '/api/v1/vms');
  const left = body.map(({ name }: { name: string }) => name).sort();
  assert.deepEqual(left, ['alone', 'one', 'red']);
  assert.equal((await type(...prune, '--yes')).stdout, 'VM one  unchanged\n');
});
