// cli: exit statuses and messages of failures, on which scripts and people rely.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { startVolar, volar } from './volar.ts';

const ANSWERS: readonly [status: number, code: string, exit: number, remedy: RegExp][] = [
  [400, 'BODY_INVALID', 1, /memory_mb: too small/],
  [401, 'UNAUTHORIZED', 1, /VOLANT_API_KEY/],
  [404, 'VM_NOT_FOUND', 3, /volar vms list/],
  [409, 'VM_STATE_CONFLICT', 4, /it went wrong/],
  [412, 'VERSION_MISMATCH', 4, /volar vms config get/],
  [408, 'WAIT_TIMEOUT', 6, /--watch/],
  [500, 'KERNEL_MISSING', 1, /npm run setup/],
];

test('each kind of refusal has its exit status, its message and its remedy', async (t) => {
  let answer = ANSWERS[0];
  const daemon = await startFakeDaemon(t, (_, response) => {
    const [status = 0, code] = answer ?? [];
    const details = status === 400 ? { memory_mb: 'too small' } : undefined;
    sendJson(response, status, { error: 'it went wrong', code, details });
  });
  for (answer of ANSWERS) {
    const [, code, exit, remedy] = answer;
    const ended = await volar(t, daemon.url, ['vms', 'stop', 'one']);
    assert.equal(ended.status, exit, code);
    assert.match(ended.stderr, /^volar: it went wrong\n/);
    assert.match(ended.stderr, remedy);
    assert.equal(ended.stdout, '');
  }
  const json = await volar(t, daemon.url, ['--json', 'vms', 'stop', 'one']);
  const { code, error } = JSON.parse(json.stderr);
  assert.deepEqual([code, error], ['KERNEL_MISSING', 'it went wrong']);
});

test('an answer that is the fault of the daemon is printed with its id, other answers are not', async (t) => {
  let status = 500;
  const daemon = await startFakeDaemon(t, (_, response) => {
    response.setHeader('X-Request-Id', 'look-for-me');
    sendJson(response, status, { error: 'it went wrong', code: 'INTERNAL' });
  });
  const told = (json: readonly string[]) => volar(t, daemon.url, [...json, 'vms', 'stop', 'one']);
  assert.match((await told([])).stderr, /daemon's log: look-for-me\n$/);
  assert.equal(JSON.parse((await told(['--json'])).stderr).request_id, 'look-for-me');
  status = 409;
  assert.doesNotMatch((await told([])).stderr, /look-for-me/);
});

test('`vms why` says which request an operation is for', async (t) => {
  const rest = { started_at: 'now', ended_at: 'now', outcome: 'done', error: null, steps: [] };
  const daemon = await startFakeDaemon(t, (_, response) =>
    sendJson(response, 200, [
      { number: 3, kind: 'reconcile', cause: 'exit', ...rest },
      { number: 2, kind: 'create', cause: 'deployment', request_id: 'two', ...rest },
      { number: 1, kind: 'start', cause: 'request', request_id: 'one', ...rest },
    ]),
  );
  const { stdout } = await volar(t, daemon.url, ['vms', 'why', 'web']);
  assert.match(stdout, /#3 reconcile \(exit\): done/);
  assert.match(stdout, /#2 create \(deployment, request two\): done/);
  assert.match(stdout, /#1 start \(request one\): done/);
});

test('no daemon: 5, and how to start one; --api counts more than the environment', async (t) => {
  const refused = await volar(t, 'http://127.0.0.1:2', ['vms', 'list']);
  assert.equal(refused.status, 5);
  assert.match(refused.stderr, /No daemon answers at http:\/\/127\.0\.0\.1:2\n.*npm run up/);
  const words = ['vms', 'list', '--api', 'unix:/nonexistent/volant.sock'];
  const other = await volar(t, 'http://127.0.0.1:2', words);
  assert.equal(other.status, 5);
  assert.match(other.stderr, /unix:\/nonexistent/);
});

test('what cannot be meant is 2, with help where it helps, and nothing is sent', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 200, []));
  const typed: readonly [string, RegExp][] = [
    ['', /Usage: volar/],
    ['vms', /Usage: volar vms/],
    ['vms crate x', /Did you mean create/],
    ['vms list --sort size', /Allowed choices are name/],
    ['vms create', /missing required argument 'name'/],
    ['vms create x --cpu two', /two is not a whole number/],
    ['vms create x --memory 1T', /not an amount of memory/],
    ['vms create x --timeout soon', /not a duration/],
    ['vms create x --config /nonexistent.json', /cannot be read/],
    ['vms scale x', /--cpu, --memory or --replicas/],
    ['deployments scale x many', /many is not a whole number/],
    ['plugins install', /give a file or a URL/],
  ];
  for (const [line, message] of typed) {
    const ended = await volar(t, daemon.url, line.split(' ').filter(Boolean));
    assert.equal(ended.status, 2, line);
    assert.match(ended.stderr, message, line);
  }
  const notJson = await volar(t, daemon.url, 'apply -f -'.split(' '), '{');
  assert.equal(notJson.status, 2);
  assert.deepEqual(daemon.calls(), []);
});

test('the API key of the environment is sent', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 200, []));
  const settings = { VOLANT_API_BASE: daemon.url, VOLANT_API_KEY: 'secret' };
  const { status } = await startVolar(t, ['vms', 'list'], settings).ended;
  assert.deepEqual([status, daemon.seen[0]?.headers['authorization']], [0, 'Bearer secret']);
});

test('a daemon on a unix socket is reached', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const answer = [vmBody('one')];
  const socket = join(home, 'api.sock');
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 200, answer), socket);
  const { status, stdout } = await volar(t, daemon.url, ['vms', 'list']);
  assert.equal(status, 0);
  assert.match(stdout, /^one /m);
});
