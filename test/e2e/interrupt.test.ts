// e2e: Ctrl-C in the middle of a command of volar: its exit status, what it says, and what is left of its work.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type Running, startVolar, volar } from '../cli/volar.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator', VOLANT_MEDIA_HOSTS: '127.0.0.1' };
const GOES_ON = /^volar: Interrupted; what the daemon has begun continues in the background/m;

/** A server whose image comes when it is told to send it. */
async function heldImage(t: TestContext) {
  let send: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    send = resolve;
  });
  const server = createServer(async (_, response) => {
    await released;
    response.writeHead(200, { 'content-length': 2 ** 20 }).end(Buffer.alloc(2 ** 20, 'x'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/root.img`, send: () => send() };
}

const isThere = (daemon: Daemon, path: string) => async () =>
  (await daemon.call('GET', `/api/v1/${path}`)).status === 200;

/** Starts a command, sends SIGINT when its work has begun, and gives how it ended. */
async function interrupted(
  t: TestContext,
  daemon: Pick<Daemon, 'url'>,
  words: readonly string[],
  begun: (running: Running) => Promise<boolean>,
) {
  const running = startVolar(t, words, { VOLANT_API_BASE: daemon.url });
  running.endInput();
  await until(`${words.join(' ')} has begun`, () => begun(running));
  await pause(300);
  running.kill('SIGINT');
  const ended = await running.ended;
  assert.equal(ended.status, 130, `${words.join(' ')}: ${ended.stdout}${ended.stderr}`);
  return ended;
}

test('creates, updates and applies continue, and volar says so', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const image = await heldImage(t);
  const directory = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const config = { plugin: 'hello', rootfs: { url: image.url } };
  const file = join(directory, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const documents = [
    { kind: 'VM', name: 'two', config },
    { kind: 'VM', name: 'three', plugin: 'hello' },
    { kind: 'Deployment', name: 'other', replicas: 1, config: { plugin: 'hello' } },
  ];
  const list = join(directory, 'list.json');
  writeFileSync(list, JSON.stringify(documents));

  const create = ['vms', 'create', 'one', '--config', file, '--wait', 'ready'];
  const made = await interrupted(t, daemon, create, isThere(daemon, 'vms/one'));
  assert.match(made.stderr, GOES_ON);
  assert.match(made.stderr, /^`volar vms why one` shows its progress\.$/m);
  assert.equal(made.stdout, '');

  const deploy = ['deployments', 'create', 'web', '--replicas', '2', '--config', file];
  const waiting = [...deploy, '--wait', 'ready', '--json'];
  const web = await interrupted(t, daemon, waiting, isThere(daemon, 'vms/web-1'));
  const told = JSON.parse(web.stderr.trim().split('\n').at(-1) ?? '');
  assert.equal(told.code, 'INTERRUPTED');
  assert.match(told.remedy, /volar deployments rollout status web/);

  const apply = ['apply', '--wait', '-f', list];
  const applied = await interrupted(t, daemon, apply, isThere(daemon, 'vms/two'));
  assert.match(applied.stderr, /continues in the background; not begun: three, other$/m);
  assert.equal(await isThere(daemon, 'vms/three')(), false);

  const status = ['deployments', 'rollout', 'status', 'web'];
  const rollout = await interrupted(t, daemon, status, async (running) => {
    await running.printed(/0 of 2 ready/);
    return true;
  });
  assert.match(rollout.stderr, /rollout status web` shows its progress/);

  image.send();
  for (const name of ['one', 'two', 'web-1', 'web-2']) await daemon.waitFor(name, 'running');
  const why = await volar(t, daemon.url, ['vms', 'why', 'one']);
  assert.equal(why.status, 0, why.stderr);
});

test('who only reads leaves without a word, and a backup leaves no part of a file', async (t) => {
  let requests = 0;
  const server = createServer((_, response) => {
    requests += 1;
    response.writeHead(200, { 'content-length': 2 ** 20 });
    response.write('a part');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const slow = { url: `http://127.0.0.1:${port}` };
  for (const words of ['events -f', 'vms list -w', 'vms logs -f one', 'vms get one', 'doctor']) {
    const before = requests;
    const ended = await interrupted(t, slow, words.split(' '), async () => requests > before);
    assert.equal(ended.stderr, '', words);
  }
  const directory = mkdtempSync(join(tmpdir(), 'volar-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'backup');
  await interrupted(t, slow, ['backup', file], async () => existsSync(`${file}.part`));
  assert.equal(existsSync(`${file}.part`), false);
});
