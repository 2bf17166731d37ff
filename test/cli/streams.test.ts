// cli: commands that continue: events, --watch, logs, the console.

import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import { sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { startVolar, volar } from './volar.ts';

const frame = (id: number, type: string, name: string) =>
  `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ type, name, status: '', timestamp: '2026-01-01T00:00:00Z' })}\n\n`;

/** VMs that a test may change, and the open event streams. */
async function startApi(t: TestContext, history = '') {
  const vms = new Map([['one', vmBody('one')]]);
  const readers = new Set<ServerResponse>();
  const daemon = await startFakeDaemon(t, ({ path }, response) => {
    const name = path.split('/')[4];
    if (path.startsWith('/api/v1/events')) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(`: connected\n\n${path.includes('after=0') ? history : ''}`);
      readers.add(response);
    } else if (name === undefined) sendJson(response, 200, [...vms.values()]);
    else if (vms.has(name)) sendJson(response, 200, vms.get(name));
    else sendJson(response, 404, { error: 'none', code: 'VM_NOT_FOUND' });
  });
  const publish = (text: string) => readers.forEach((reader) => void reader.write(text));
  return { daemon, vms, publish };
}

test('events: what has happened, then the end; with -f also what happens', async (t) => {
  const api = await startApi(t, frame(1, 'VM_CREATED', 'one') + frame(2, 'VM_RUNNING', 'one'));
  const past = await volar(t, api.daemon.url, ['events']);
  assert.deepEqual(
    past.stdout.split('\n').map((line) => line.trim().split(/ +/)),
    [
      ['1', '2026-01-01T00:00:00Z', 'VM_CREATED', 'one'],
      ['2', '2026-01-01T00:00:00Z', 'VM_RUNNING', 'one'],
      [''],
    ],
  );
  const settings = { VOLANT_API_BASE: api.daemon.url };
  const words = ['events', '-f', '--after', '0', '--name', 'one', '--json'];
  const running = startVolar(t, words, settings);
  await running.printed(/"id":2/);
  api.publish(frame(3, 'VM_DELETED', 'one'));
  await running.printed(/"type":"VM_DELETED".*"id":3/);
  assert.equal(api.daemon.calls().at(-1), 'GET /api/v1/events?name=one&after=0');
});

test('a list that is watched prints rows that are new, different or gone', async (t) => {
  const api = await startApi(t);
  const running = startVolar(t, ['vms', 'list', '-w'], { VOLANT_API_BASE: api.daemon.url });
  await running.printed(/^one +running/m);
  api.vms.set('two', vmBody('two', { id: 2, status: 'starting' }));
  api.publish(frame(1, 'VM_CREATED', 'two'));
  await running.printed(/^two +starting/m);
  api.vms.delete('one');
  api.publish(frame(2, 'VM_DELETED', 'one'));
  await running.printed(/^one +deleted/m);
  running.kill('SIGTERM');
  const { stdout } = await running.ended;
  assert.equal(stdout.match(/^NAME/gm)?.length, 1, 'one line of titles');
  assert.equal(stdout.match(/^two/gm)?.length, 1, 'what has not changed is not printed again');
});

test('one VM is watched until it is gone; one that is not there is an error', async (t) => {
  const api = await startApi(t);
  const settings = { VOLANT_API_BASE: api.daemon.url };
  const running = startVolar(t, ['vms', 'get', 'one', '--watch', '--json'], settings);
  await running.printed(/"status":"running"/);
  api.vms.delete('one');
  api.publish(frame(1, 'VM_DELETED', 'one'));
  const { status, stdout } = await running.ended;
  assert.equal(status, 0);
  assert.equal(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '').status, 'deleted');
  const absent = await volar(t, api.daemon.url, ['vms', 'get', 'none', '-w']);
  assert.equal(absent.status, 3, absent.stderr);
});

async function startSockets(t: TestContext, serve: (socket: WebSocket, path: string) => void) {
  const api = await startApi(t);
  const sockets = new WebSocketServer({ server: api.daemon.server });
  sockets.on('connection', (socket, { url = '' }) => serve(socket, url));
  t.after(() => sockets.clients.forEach((client) => void client.terminate()));
  return api.daemon.url;
}

const logLine = (line: string) =>
  JSON.stringify({ name: 'one', stream: 'stdout', line, timestamp: '2026-01-01T00:00:00Z' });

test('logs: the lines that are kept, then the end; with -f until the stream ends', async (t) => {
  const paths: string[] = [];
  const url = await startSockets(t, (socket, path) => {
    paths.push(path);
    socket.send(logLine('hello'));
    if (path.includes('tail')) socket.close(1000);
  });
  const kept = await volar(t, url, ['vms', 'logs', 'one', '--timestamps']);
  assert.deepEqual([kept.status, kept.stdout], [0, '2026-01-01T00:00:00Z hello\n']);
  const followed = await volar(t, url, ['vms', 'logs', 'one', '-f', '--tail', '5']);
  assert.deepEqual([followed.status, followed.stdout], [0, 'hello\n']);
  assert.deepEqual(paths, ['/ws/v1/vms/one/logs', '/ws/v1/vms/one/logs?tail=5']);
  assert.equal((await volar(t, url, ['vms', 'logs', 'none'])).status, 3);
});

test('the console: what is typed goes to the guest, and Ctrl-] is where it ends', async (t) => {
  let typed = '';
  const url = await startSockets(t, (socket) => {
    socket.send('login: ');
    socket.on('message', (data) => {
      typed += data;
      socket.send(Buffer.from(`got ${data}`));
    });
  });
  const running = startVolar(t, ['vms', 'console', 'one'], { VOLANT_API_BASE: url });
  await running.printed(/login: /);
  running.write('root\r');
  await running.printed(/got root/);
  running.write('\x1drest');
  const { status, stderr } = await running.ended;
  assert.equal(status, 0);
  assert.equal(typed, 'root\r');
  assert.match(stderr, /Ctrl-\] detaches[\s\S]*Detached/);
});

test('a console that the guest closes ends the command', async (t) => {
  const url = await startSockets(t, (socket) => socket.close(1000, 'stopped'));
  const { status, stderr } = await volar(t, url, ['vms', 'console', 'one']);
  assert.equal(status, 1);
  assert.match(stderr, /The console of one has ended: stopped/);
  assert.doesNotMatch(stderr, /Detached/);
});
