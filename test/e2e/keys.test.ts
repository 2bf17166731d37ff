// e2e: a key is rotated in a running daemon: no restart, no moment without a valid key, and the streams of the old key end.
// Also the message of `up` if only a file has keys.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { createClient } from '../../src/client/client.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { until, untilPasses } from '../helpers/until.ts';
import { startDaemon } from './daemon.ts';
import { createPrivateHost } from './private-host.ts';

const run = promisify(execFile);
const VOLAR = join(PROJECT_ROOT, 'dist/cli/main.js');

/** A file of keys, changed by the command that an operator uses. */
function keysFile(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-keys-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'keys.json');
  /** What it prints: the new key. */
  const keys = async (...words: string[]): Promise<string> => {
    const { stdout } = await run(process.execPath, [VOLAR, 'keys', ...words, '--file', path]);
    return stdout.trim();
  };
  return { path, keys };
}

test('a key is rotated while the daemon runs', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { path, keys } = keysFile(t);
  const first = await keys('create', 'ops', '--scope', 'admin');
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_API_KEYS_FILE: path,
  });
  const pid = daemon.pid();
  const statusOf = async (key: string, method = 'GET'): Promise<number> => {
    const headers = { 'X-Volant-API-Key': key };
    return (await fetch(`${daemon.url}/api/v1/vms`, { method, headers })).status;
  };
  const clientOf = (apiKey: string) => createClient({ baseUrl: daemon.url, apiKey });
  assert.equal((await daemon.call('GET', '/api/v1/vms')).status, 401);
  assert.equal(await statusOf(`${first}x`), 401);
  await clientOf(first).vms.create({ name: 'one', plugin: 'hello' });
  const stream = await fetch(`${daemon.url}/api/v1/events?api_key=${first}`);
  const streamEnded = stream.text();

  const second = await keys('rotate', 'ops', '--grace', '1h');
  assert.notEqual(second, first);
  await until('the new key', async () => (await statusOf(second)) === 200);
  assert.equal(await statusOf(first), 200, 'both are good in the grace time');
  await clientOf(second).vms.create({ name: 'two', plugin: 'hello' });

  const { keys: stored, ...rest } = JSON.parse(readFileSync(path, 'utf8'));
  assert.equal(stored.length, 2);
  writeFileSync(path, JSON.stringify({ ...rest, keys: stored.slice(1) }));
  await until('the end of the old key', async () => (await statusOf(first)) === 401);
  assert.match(await streamEnded, /^: connected/, 'its stream has ended');
  assert.equal(await statusOf(first, 'POST'), 401);
  assert.deepEqual((await clientOf(second).vms.list()).vms.map(({ name }) => name).sort(), [
    'one',
    'two',
  ]);
  await clientOf(second).vms.destroy('one');
  assert.equal(daemon.pid(), pid);

  await daemon.killAndRestart();
  assert.deepEqual([await statusOf(first), await statusOf(second)], [401, 200]);
  for (const key of [first, second]) {
    assert.ok(!daemon.log().includes(key) && !readFileSync(path, 'utf8').includes(key));
  }
  await clientOf(second).vms.destroy('two');
});

test('up says which key it needs where a file has the only ones', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'kernel')) return;
  const host = createPrivateHost(t);
  const { path, keys } = keysFile(t);
  await keys('create', 'ops', '--scope', 'admin');
  const up = (...settings: string[]) =>
    host.run(
      'env',
      `VOLANT_API_KEYS_FILE=${path}`,
      'VOLANT_HYPERVISOR=simulator',
      ...settings,
      process.execPath,
      'scripts/up.mjs',
    );
  const without = await up();
  assert.equal(without.status, 1, without.output);
  assert.match(without.output, /needs a key: there is a file of keys, .*keys\.json/);
  assert.match(without.output, /VOLANT_API_KEY/);
  assert.match(without.output, /npm run down/);
  assert.equal((await host.script('down.mjs')).status, 0);
  const own = await up('VOLANT_API_KEY=of-this-shell');
  assert.equal(own.status, 0, own.output);
  assert.equal((await host.script('down.mjs', '--all')).status, 0);
  await untilPasses(() => assert.deepEqual(host.processes(), []));
});
