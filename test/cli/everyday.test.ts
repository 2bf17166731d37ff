// cli: daily use: nothing that was typed is lost silently, a failure for one name does not stop the others, and the output
// shows the state.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { statusText, type VmRow } from '../../src/cli/commands/vm-rows.ts';
import { naturally } from '../../src/cli/terminal/natural-order.ts';
import { renderTable } from '../../src/cli/terminal/table.ts';
import { baseUrlOf } from '../../src/client/base-url.ts';
import { type Answer, sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { volar } from './volar.ts';

function routes(table: Readonly<Record<string, unknown>>): Answer {
  return ({ method, path }, response) => {
    const body = table[`${method} ${path}`];
    if (body === undefined) sendJson(response, 404, { error: `no ${path}`, code: 'VM_NOT_FOUND' });
    else sendJson(response, 200, body);
  };
}

function fileOf(t: TestContext, name: string, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, name), text);
  return join(directory, name);
}

const bodyOf = (seen: readonly { body: string }[], at = 0) => JSON.parse(seen[at]?.body || 'null');

test('of several names each is tried, each failure is printed, and the worst is the status', async (t) => {
  const daemon = await startFakeDaemon(t, ({ path }, response) => {
    const status = /none/.test(path) ? 404 : /busy/.test(path) ? 409 : 200;
    sendJson(response, status, status === 200 ? vmBody('one') : { error: path, code: 'X' });
  });
  const ended = await volar(t, daemon.url, ['vms', 'delete', 'none', 'busy', 'one']);
  assert.equal(ended.status, 4);
  assert.equal(ended.stdout, 'one  deleted\n');
  assert.equal(ended.stderr.match(/^volar: /gm)?.length, 2);
  assert.equal((await volar(t, daemon.url, ['vms', 'stop', 'none', 'one'])).status, 3);
});

test('an address of an API may do without its scheme, and one that is none is a usage error', async (t) => {
  const daemon = await startFakeDaemon(t, routes({ 'GET /api/v1/vms': [] }));
  const bare = daemon.url.replace('http://', '');
  assert.equal((await volar(t, '', ['--api', bare, 'vms', 'list'])).status, 0);
  for (const bad of ['bad', 'ftp://host', '://']) {
    const { status, stderr } = await volar(t, '', ['--api', bad, 'vms', 'list']);
    assert.equal(status, 2, bad);
    assert.match(stderr, /^volar: .* is not an address of an API/);
  }
  assert.equal(baseUrlOf({}, 'localhost:7777'), 'http://localhost:7777');
  assert.equal(baseUrlOf({}, '[::1]:7777'), 'http://[::1]:7777');
  assert.equal(baseUrlOf({}, 'unix:/run/x.sock'), 'unix:/run/x.sock');
});

test('doctor counts in words what it has compared, and what differs', async (t) => {
  const checked = { vms: 1, processes: 1, taps: 2, run_directories: 0 };
  const clean = { clean: true, differences: [], repaired: 0, in_progress: [], checked };
  const whole = await startFakeDaemon(t, routes({ 'GET /api/v1/system/audit': clean }));
  assert.equal(
    (await volar(t, whole.url, ['doctor'])).stdout,
    'The host matches the records (1 VM, 1 process, 2 taps, 0 run directories).\n',
  );
  const stray = { kind: 'tap-stray', subject: 'vt0-1', vm: null, remedy: null };
  const differs = { ...clean, clean: false, differences: [stray] };
  const daemon = await startFakeDaemon(t, routes({ 'GET /api/v1/system/audit': differs }));
  const { status, stdout } = await volar(t, daemon.url, ['doctor']);
  assert.equal(stdout, '1 difference:\ntap-stray  vt0-1  no VM  volar doctor --repair\n');
  assert.equal(status, 1);
});

test('help is found as deep as commands go, and all errors begin alike', async (t) => {
  const { status, stdout } = await volar(t, '', ['help', 'vms', 'create']);
  assert.equal(status, 0);
  assert.match(stdout, /--kernel-cmdline/);
  for (const own of [['--api', 'x:1'], ['--json'], ['--ca', 'help', '-a', 'x:1']]) {
    assert.equal((await volar(t, '', [...own, 'help', 'vms', 'create'])).stdout, stdout);
  }
  assert.match((await volar(t, '', ['vms', 'fly'])).stderr, /^volar: unknown command/);
});

test('a config is refused whose members stand beside it, and one in YAML is taken', async (t) => {
  const daemon = await startFakeDaemon(t, routes({ 'POST /api/v1/vms': vmBody('one') }));
  const beside = fileOf(t, 'a.json', '{"config": {"plugin": "hello"}, "workload": {}}');
  const refused = await volar(t, daemon.url, ['vms', 'create', 'one', '--config', beside]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /workload is next to the member config/);
  assert.equal(daemon.seen.length, 0);
  const yaml = fileOf(t, 'a.yaml', 'plugin: hello\nresources:\n  memory_mb: 256\n');
  const made = await volar(t, daemon.url, ['vms', 'create', 'one', '--config', yaml]);
  assert.equal(made.status, 0, made.stderr);
  assert.equal(daemon.seen[0]?.strict, true);
  assert.deepEqual(bodyOf(daemon.seen).config, { plugin: 'hello', resources: { memory_mb: 256 } });
});

test('apply sends what it does not know on to the daemon, which refuses it', async (t) => {
  const config = { plugin: 'hello', resources: { memory_mb: 128 } };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'GET /api/v1/vms/one/config': { version: 1, config },
      'GET /api/v1/deployments/web': { name: 'web', desired_replicas: 1, config },
    }),
  );
  const text =
    'kind: VM\nname: one\nmemroy_mb: 512\n---\nkind: Deployment\nname: web\nreplcas: 3\n';
  await volar(t, daemon.url, ['apply', '-f', fileOf(t, 'all.yaml', text)]);
  const sent = daemon.seen.filter(({ method }) => method === 'PATCH');
  assert.deepEqual(sent.map(({ path, body }) => [path, JSON.parse(body)]).sort(), [
    ['/api/v1/deployments/web?dry_run=true', { replcas: 3 }],
    ['/api/v1/vms/one/config?dry_run=true', { memroy_mb: 512 }],
  ]);
  assert.ok(sent.every(({ strict }) => strict));
});

test('options of a create that are members of a config or of its manifest', async (t) => {
  const manifest = { name: 'hello', workload: { entrypoint: ['/app'], env: { A: '1' } } };
  const daemon = await startFakeDaemon(
    t,
    routes({ 'POST /api/v1/vms': vmBody('one'), 'GET /api/v1/plugins/hello': manifest }),
  );
  const words = ['vms', 'create', 'one', '--plugin', 'hello', '--expose', '8080:80'];
  const more = ['--network', 'vsock', '--metadata', 'team=blue', '--env', 'B=2', '--label', 'x=y'];
  const disk = ['--disk', 'data=/srv/data.img,ro', '--expose', '53:53/udp'];
  const { status, stderr } = await volar(t, daemon.url, [...words, ...more, ...disk]);
  assert.equal(status, 0, stderr);
  assert.deepEqual(bodyOf(daemon.seen, 1).config, {
    expose: [
      { host_port: 8080, port: 80 },
      { host_port: 53, port: 53, protocol: 'udp' },
    ],
    network: { mode: 'vsock' },
    metadata: { team: 'blue' },
    manifest: {
      name: 'hello',
      workload: { entrypoint: ['/app'], env: { A: '1', B: '2' } },
      disks: [{ name: 'data', source: '/srv/data.img', readonly: true }],
      labels: { x: 'y' },
    },
  });
  assert.equal((await volar(t, daemon.url, ['vms', 'create', 'a', '--expose', '80'])).status, 2);
});

test('log and console of a VM that has ended: a conflict that says where the last output is', async (t) => {
  const daemon = await startFakeDaemon(t, ({ path }, response) => {
    if (path.endsWith('/console-log')) response.end('the last words\n');
    else sendJson(response, 200, vmBody('one', { status: 'crashed' }));
  });
  for (const command of ['logs', 'console']) {
    const { status, stderr } = await volar(t, daemon.url, ['vms', command, 'one']);
    assert.equal(status, 4, command);
    assert.match(stderr, /VM one is crashed[\s\S]*volar vms logs one --last/);
  }
  const { stdout } = await volar(t, daemon.url, ['vms', 'logs', 'one', '--last']);
  assert.equal(stdout, 'the last words\n');
});

test('a roll-out is shown until it is done, and what delays it when the time is over', async (t) => {
  const degraded = { type: 'Degraded', status: true, reason: 'CreateFailed', message: 'no room' };
  let ready = 1;
  const daemon = await startFakeDaemon(t, (_, response) => {
    sendJson(response, 200, {
      name: 'web',
      desired_replicas: 3,
      ready_replicas: ready,
      updated_replicas: ready,
      replicas: ['web-1', 'web-2', 'web-3'],
      conditions: ready < 3 ? [degraded] : [],
      config: {},
    });
  });
  const words = ['deployments', 'rollout', 'status', 'web'];
  const late = await volar(t, daemon.url, [...words, '--no-wait']);
  assert.deepEqual([late.status, late.stdout], [6, 'web  1 of 3 ready, 1 updated; no room\n']);
  ready = 3;
  const done = await volar(t, daemon.url, words);
  assert.deepEqual([done.status, done.stdout], [0, 'web  rolled out: 3 of 3 ready, 3 updated\n']);
});

test('the revisions of a deployment are listed, one is shown whole, and undo goes back to one', async (t) => {
  const revision = (number: number, more: object) => ({
    revision: number,
    current: number === 3,
    created_at: '2026-01-01T00:00:00.000Z',
    changes: ['resources.memory_mb'],
    max_unavailable: 1,
    config: { plugin: 'hello' },
    ...more,
  });
  const revisions = [
    revision(3, { restored_from: 1, request_id: 'r-3', client: 'ops' }),
    revision(2, {}),
    revision(1, { created_at: null, changes: [] }),
  ];
  const deployment = {
    name: 'web',
    revision: 4,
    desired_replicas: 1,
    ready_replicas: 1,
    updated_replicas: 1,
    replicas: ['web-1'],
    conditions: [],
    config: {},
  };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'GET /api/v1/deployments/web/revisions': revisions,
      'POST /api/v1/deployments/web/rollback': deployment,
      'POST /api/v1/deployments/web/rollback?wait=ready&timeout=30000': deployment,
      'POST /api/v1/deployments/web/rollback?dry_run=true': { ...deployment, dry_run: true },
    }),
  );
  const words = ['deployments', 'rollout'];
  const listed = await volar(t, daemon.url, [...words, 'history', 'web']);
  assert.match(listed.stdout, /^3 \* +2026\S+ +hello +restores 1, resources.memory_mb +r-3 +ops$/m);
  assert.match(listed.stdout, /^1 +- +hello +- +- +-$/m);
  const one = await volar(t, daemon.url, [...words, 'history', 'web', '--revision', '2']);
  assert.deepEqual(JSON.parse(one.stdout), revisions[1]);
  const none = await volar(t, daemon.url, [...words, 'history', 'web', '--revision', '9']);
  assert.deepEqual([none.status, none.stdout], [3, '']);
  assert.match(none.stderr, /^volar: Deployment web has no revision 9$/m);
  daemon.seen.length = 0;
  const undone = await volar(t, daemon.url, [...words, 'undo', 'web']);
  assert.equal(undone.stdout, 'web  rolled out: 1 of 1 ready, 1 updated; revision 4\n');
  const wait = ['--wait', 'ready', '--timeout', '30s'];
  await volar(t, daemon.url, [...words, 'undo', 'web', '--to-revision', '2', ...wait]);
  const dry = await volar(t, daemon.url, [...words, 'undo', 'web', '--dry-run']);
  assert.equal(JSON.parse(dry.stdout).dry_run, true);
  assert.deepEqual(
    daemon.seen.map(({ body }) => JSON.parse(body)),
    [{}, { revision: 2 }, {}],
  );
  const refused = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 404, { error: 'no revision 7', code: 'REVISION_NOT_FOUND' }),
  );
  const failed = await volar(t, refused.url, [...words, 'undo', 'web', '--to-revision', '7']);
  assert.equal(failed.status, 3);
  assert.match(failed.stderr, /rollout history/);
});

test('a VM is shown with its network, ports, disks and what waits for its next start', async (t) => {
  const config = {
    plugin: 'hello',
    expose: [{ host_port: 8080, port: 80 }],
    network: { mode: 'vsock' },
    manifest: { disks: [{ name: 'data', source: '/srv/data.img' }] },
  };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'GET /api/v1/vms/one': vmBody('one', { status_reason: 'waits for an image' }),
      'GET /api/v1/vms/one/config': { version: 3, config, pending_restart: true },
    }),
  );
  const { stdout } = await volar(t, daemon.url, ['vms', 'get', 'one']);
  assert.match(stdout, /^why +waits for an image$/m);
  assert.match(stdout, /^network +vsock$/m);
  assert.match(stdout, /^ports +8080 -> 80\/tcp$/m);
  assert.match(stdout, /^disks +data \(\/srv\/data.img\)$/m);
  assert.match(stdout, /^config +version 3, takes effect at the next start$/m);
});

test('names are in the order of their numbers, and a narrow table does without what is optional', () => {
  assert.deepEqual(naturally(['web-10', 'web-2', 'web-1']), ['web-1', 'web-2', 'web-10']);
  const columns = [
    { title: 'NAME', of: () => 'one' },
    { title: 'MAC', of: () => '02:00:00:00:00:01', optional: true },
  ] as const;
  assert.deepEqual(renderTable([1], columns, 80), ['NAME  MAC', 'one   02:00:00:00:00:01']);
  assert.deepEqual(renderTable([1], columns, 20), ['NAME', 'one']);
});

test('the status of a VM has the end of a workload that has ended for good', () => {
  const row = (status: string, exit_code: number | null, exit_signal: number | null) =>
    statusText({ status, exit_code, exit_signal } as VmRow);
  assert.equal(row('stopped', 0, null), 'stopped (exit 0)');
  assert.equal(row('stopped', null, 9), 'stopped (signal 9)');
  assert.equal(row('running', null, null), 'running');
  assert.equal(statusText({ status: 'stopped' } as VmRow), 'stopped', 'of an earlier daemon');
});
