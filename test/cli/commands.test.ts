// cli: what commands send and print, run as real processes against a fake daemon that records requests.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Answer, sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { volar } from './volar.ts';

/** Answers by "METHOD path"; anything else is 404. */
function routes(table: Readonly<Record<string, unknown>>, status = 200): Answer {
  return ({ method, path }, response) => {
    const body = table[`${method} ${path}`];
    if (body === undefined) sendJson(response, 404, { error: path, code: 'ROUTE_NOT_FOUND' });
    else sendJson(response, status, body);
  };
}

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('a list is a table for people and JSON for programs', async (t) => {
  const vms = [vmBody('one'), vmBody('second', { status: 'stopped', ip_address: '' })];
  const daemon = await startFakeDaemon(t, routes({ 'GET /api/v1/vms': vms }));
  const table = await volar(t, daemon.url, ['vms', 'list']);
  assert.equal(table.status, 0, table.stderr);
  assert.deepEqual(table.stdout.split('\n'), [
    'NAME    STATUS   PLUGIN  ADDRESS         MAC                CPU  MEMORY (MiB)',
    'one     running  hello   192.168.127.10  02:00:00:00:00:01  1    128',
    'second  stopped  hello   -               02:00:00:00:00:01  1    128',
    '',
  ]);
  const json = await volar(t, daemon.url, ['vms', 'list', '--json']);
  assert.deepEqual(JSON.parse(json.stdout), vms);
});

test('nothing to list is said on standard error, so that pipes stay empty', async (t) => {
  const daemon = await startFakeDaemon(t, routes({ 'GET /api/v1/vms?status=crashed': [] }));
  const ended = await volar(t, daemon.url, ['vms', 'list', '--status', 'crashed']);
  assert.deepEqual([ended.status, ended.stdout, ended.stderr], [0, '', 'No VMs.\n']);
});

test('stop, restart and delete send the grace that was given, and no other', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method }, response) => {
    if (method === 'DELETE') response.writeHead(204).end();
    else sendJson(response, 200, vmBody('one'));
  });
  for (const verb of ['stop', 'restart', 'delete']) {
    assert.equal((await volar(t, daemon.url, ['vms', verb, 'one'])).status, 0);
    assert.equal((await volar(t, daemon.url, ['vms', verb, 'one', '--grace', '5'])).status, 0);
  }
  assert.deepEqual(daemon.calls(), [
    'POST /api/v1/vms/one/stop',
    'POST /api/v1/vms/one/stop?grace_seconds=5',
    'POST /api/v1/vms/one/restart',
    'POST /api/v1/vms/one/restart?grace_seconds=5',
    'DELETE /api/v1/vms/one',
    'DELETE /api/v1/vms/one?grace_seconds=5',
  ]);
  const wrong = await volar(t, daemon.url, ['vms', 'stop', 'one', '--grace', '1.5']);
  assert.equal(wrong.status, 2);
});

test('a create sends nothing that was not given, and prints name, address and duration', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 201, vmBody('one')));
  const plain = await volar(t, daemon.url, ['vms', 'create', 'one', '--plugin', 'hello']);
  assert.match(plain.stdout, /^one {2}192\.168\.127\.10 {2}running after \d+\.\d\d s\n$/);
  assert.equal(plain.stderr, '', 'no progress without a terminal');
  await volar(
    t,
    daemon.url,
    'vms create one --cpu 2 --memory 2G --kernel /k --initramfs /i --device 0000:01:00.0 --device 0000:02:00.0 --autostart --wait ready --timeout 1.5s'.split(
      ' ',
    ),
  );
  assert.deepEqual(daemon.calls(), [
    'POST /api/v1/vms',
    'POST /api/v1/vms?wait=ready&timeout=1500',
  ]);
  assert.deepEqual(
    daemon.seen.map(({ body }) => JSON.parse(body)),
    [
      { name: 'one', plugin: 'hello' },
      {
        name: 'one',
        cpu_cores: 2,
        memory_mb: 2048,
        autostart: true,
        config: {
          kernel_override: '/k',
          initramfs: { url: '/i' },
          devices: { pci_passthrough: ['0000:01:00.0', '0000:02:00.0'] },
        },
      },
    ],
  );
});

test('a config file is taken alone and in the envelope that config get --raw prints', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 201, vmBody('one')));
  const config = { plugin: 'hello', resources: { cpu_cores: 3 } };
  for (const content of [config, { version: 4, updated_at: 'x', config }]) {
    const words = ['vms', 'create', 'one', '--config', '-'];
    const ended = await volar(t, daemon.url, words, JSON.stringify(content));
    assert.equal(ended.status, 0, ended.stderr);
  }
  const sent = daemon.seen.map(({ body }) => JSON.parse(body));
  assert.deepEqual(sent, [
    { name: 'one', config },
    { name: 'one', config },
  ]);
});

test('start, stop, restart and delete take several names', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method, path }, response) => {
    if (method === 'DELETE') response.writeHead(204).end();
    else sendJson(response, 200, vmBody(path.split('/')[4] ?? '', { pid: 7 }));
  });
  for (const command of ['start', 'stop', 'restart', 'delete']) {
    const ended = await volar(t, daemon.url, ['vms', command, 'a', 'b']);
    assert.equal(ended.status, 0, ended.stderr);
    assert.match(
      ended.stdout,
      command === 'delete' ? /^a {2}deleted\nb {2}deleted\n$/ : /^a .*7\nb .*7\n$/,
    );
  }
  assert.deepEqual(daemon.calls(), [
    ...['start', 'stop', 'restart'].flatMap((move) =>
      ['a', 'b'].map((name) => `POST /api/v1/vms/${name}/${move}`),
    ),
    'DELETE /api/v1/vms/a',
    'DELETE /api/v1/vms/b',
  ]);
});

test('configs: set changes one version, history lists them, get writes a file', async (t) => {
  const envelope = {
    version: 3,
    updated_at: '2026-01-01T00:00:00Z',
    config: { plugin: 'hello', resources: { cpu_cores: 2, memory_mb: 256 } },
    pending_restart: true,
  };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'PATCH /api/v1/vms/one/config': envelope,
      'GET /api/v1/vms/one/config': envelope,
      'GET /api/v1/vms/one/config/history?limit=5': [{ id: 9, ...envelope }],
    }),
  );
  const set = 'vms config set one --file - --if-version 2'.split(' ');
  const changed = await volar(t, daemon.url, set, '{"runtime": "r"}');
  assert.equal(changed.stdout, 'one  version 3; takes effect at the next start\n');
  assert.equal(daemon.seen[0]?.headers['if-match'], '"2"');
  const history = await volar(t, daemon.url, 'vms config history one --limit 5'.split(' '));
  assert.match(history.stdout, /^VERSION .*\n3 {8}2026-01-01T00:00:00Z {2}hello {3}2 {4}256\n$/);
  const file = join(directory(t), 'config.json');
  await volar(t, daemon.url, ['vms', 'config', 'get', 'one', '--output', file]);
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), envelope.config);
  const scaled = await volar(t, daemon.url, 'vms scale one --memory 256'.split(' '));
  assert.match(scaled.stdout, /^one {2}2 vCPU, 256 MiB in version 3; takes effect/);
  assert.deepEqual(JSON.parse(daemon.seen.at(-1)?.body ?? ''), { resources: { memory_mb: 256 } });
});

test('deployments: create, scale, list', async (t) => {
  const web = {
    name: 'web',
    status: 'active',
    desired_replicas: 3,
    ready_replicas: 2,
    updated_replicas: 3,
    revision: 1,
    replicas: ['web-1', 'web-2', 'web-3'],
    conditions: [],
    config: { plugin: 'hello' },
  };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'POST /api/v1/deployments': web,
      'PATCH /api/v1/deployments/web': web,
      'GET /api/v1/deployments': [web],
      'GET /api/v1/deployments/web': web,
    }),
  );
  const create = 'deployments create web --config - --replicas 3'.split(' ');
  const created = await volar(t, daemon.url, create, '{"plugin": "hello"}');
  assert.equal(created.stdout, 'web  2 of 3 ready\n');
  assert.deepEqual(JSON.parse(daemon.seen[0]?.body ?? ''), {
    name: 'web',
    replicas: 3,
    config: { plugin: 'hello' },
  });
  await volar(t, daemon.url, 'deployments scale web 3'.split(' '));
  assert.equal(daemon.seen[1]?.body, '{"replicas":3}');
  const list = await volar(t, daemon.url, ['deployments', 'list']);
  assert.match(list.stdout, /\nweb {3}active {2}3 {8}2 {6}3 {8}1\n$/);
  const shown = await volar(t, daemon.url, ['deployments', 'get', 'web']);
  assert.match(shown.stdout, /^replicas +2 of 3 ready$/m);
  assert.match(shown.stdout, /^VMs +web-1\n +web-2\n +web-3$/m);
});

test('plugins: paths of a manifest become absolute, cloud-init documents are put in', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => response.writeHead(201).end());
  const home = directory(t);
  writeFileSync(join(home, 'user.yaml'), '#cloud-config\n');
  const manifest = {
    name: 'mine',
    version: '1',
    initramfs: { url: 'image.cpio' },
    rootfs: { url: 'https://example.org/root.img' },
    disks: [{ name: 'data', source: './data.img' }],
    cloud_init: { user_data: { path: 'user.yaml' } },
  };
  writeFileSync(join(home, 'plugin.json'), JSON.stringify(manifest));
  const ended = await volar(t, daemon.url, ['plugins', 'install', join(home, 'plugin.json')]);
  assert.equal(ended.stdout, 'mine  installed\n', ended.stderr);
  assert.deepEqual(JSON.parse(daemon.seen[0]?.body ?? ''), {
    ...manifest,
    initramfs: { url: join(home, 'image.cpio') },
    disks: [{ name: 'data', source: join(home, 'data.img') }],
    cloud_init: { user_data: { inline: true, content: '#cloud-config\n' } },
  });
});

test('plugins: one that vanishes while they are listed does not spoil the list', async (t) => {
  const hello = { name: 'hello', version: '1.0', enabled: false, runtime: 'hello' };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'GET /api/v1/plugins': { plugins: ['gone', 'hello'] },
      'GET /api/v1/plugins/hello': hello,
    }),
  );
  const { status, stdout } = await volar(t, daemon.url, ['plugins', 'list']);
  assert.deepEqual([status, stdout.split('\n')[1]], [0, 'hello  1.0      no       hello']);
});

test('operations of a workload are listed and called by id or by method and path', async (t) => {
  const document = {
    openapi: '3.0.0',
    paths: {
      '/items/{id}': { put: { operationId: 'putItem', summary: 'Store' }, parameters: {} },
      '/ping': { get: {} },
    },
  };
  const daemon = await startFakeDaemon(
    t,
    routes({
      'GET /api/v1/vms/one/openapi': document,
      'PUT /api/v1/vms/one/agent/v1/items/a%20b?x=1': { stored: true },
      'GET /api/v1/vms/one/agent/v1/ping': 'pong',
    }),
  );
  const list = await volar(t, daemon.url, ['vms', 'operations', 'one']);
  assert.match(list.stdout, /\nputItem {4}PUT {5}\/items\/\{id\} {2}Store\n/);
  const call = ['vms', 'call', 'one', 'PUTITEM', '--param', 'id=a b', '--query', 'x=1'];
  const called = await volar(t, daemon.url, [...call, '--body', '{"n":1}']);
  assert.equal(called.stdout, '{"stored":true}\n', called.stderr);
  assert.equal(daemon.seen.at(-1)?.body, '{"n":1}');
  const ping = await volar(t, daemon.url, ['vms', 'call', 'one', 'get:/ping']);
  assert.equal(ping.stdout, '"pong"\n');
});

test('versions: of volar alone without a daemon, of both with one', async (t) => {
  const daemon = await startFakeDaemon(
    t,
    routes({ 'GET /api/v1/system/info': { version: '9.9' } }),
  );
  const flag = await volar(t, 'http://127.0.0.1:2', ['--version']);
  assert.match(flag.stdout, /^\d+\.\d+\.\d+\n$/);
  const both = await volar(t, daemon.url, ['version']);
  assert.equal(both.stdout, `volar ${flag.stdout}volantd 9.9\n`);
  const alone = await volar(t, 'http://127.0.0.1:2', ['version']);
  assert.equal(alone.status, 0);
  assert.match(alone.stdout, /volantd unknown/);
});

test('while an image comes from the network, a create shows how far it is', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method }, response) => {
    if (method === 'POST') {
      setTimeout(() => sendJson(response, 201, vmBody('one')), 2_500);
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const event = {
      type: 'MEDIA_DOWNLOADING',
      status: 'starting',
      timestamp: '2026-01-01T00:00:00Z',
    };
    const mine = { ...event, name: 'one', message: 'http://images/root.qcow2: 3.0 of 10.0 MiB' };
    const other = { ...event, name: 'two', message: 'http://images/other: 1.0 MiB' };
    for (const [id, data] of [other, mine].entries()) {
      response.write(`id: ${id}\nevent: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`);
    }
  });
  const { status, stdout, stderr } = await volar(t, daemon.url, ['vms', 'create', 'one', '--json']);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, 'one downloads http://images/root.qcow2: 3.0 of 10.0 MiB\n');
  assert.equal(JSON.parse(stdout).name, 'one');
});

test('a daemon that cannot list images is no reason to fail', async (t) => {
  const daemon = await startFakeDaemon(t, ({ method }, response) => {
    if (method === 'GET') sendJson(response, 404, { error: 'no', code: 'ROUTE_NOT_FOUND' });
    else setTimeout(() => sendJson(response, 201, vmBody('one')), 1_500);
  });
  const { status, stderr } = await volar(t, daemon.url, ['vms', 'create', 'one']);
  assert.deepEqual([status, stderr], [0, '']);
});
