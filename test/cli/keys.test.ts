// cli: `volar keys` creates, lists, rotates and removes keys in a file, and the daemon accepts them.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestOfKey, parseKeys } from '../../src/lib/files/key-file.ts';
import { ask, eventually, startServer } from '../http/harness.ts';
import { startVolar } from './volar.ts';

function home(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-cli-keys-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'keys.json');
  const keys = (...words: string[]) =>
    startVolar(t, ['keys', ...words], { VOLANT_HOME: directory }).ended;
  return { file, keys, stored: () => parseKeys(readFileSync(file, 'utf8')) };
}

test('a key is printed once, and only its digest is kept', async (t) => {
  const { file, keys, stored } = home(t);
  const made = await keys(
    'create',
    'ci',
    '--scope',
    'operate',
    '--prefix',
    'ci-',
    '--expires',
    '2d',
  );
  assert.equal(made.status, 0, made.stderr);
  const key = made.stdout.trim();
  assert.match(key, /^volant_[\w-]{43}$/);
  assert.ok(!readFileSync(file, 'utf8').includes(key));
  assert.equal((statSync(file).mode & 0o777).toString(8), '600');
  const [one] = stored();
  assert.deepEqual([one?.name, one?.scope, one?.prefix], ['ci', 'operate', 'ci-']);
  assert.equal(one?.sha256, digestOfKey(key));
  assert.ok(Date.parse(one?.expiresAt ?? '') > Date.now() + 47 * 3_600_000);
  const listed = await keys('list');
  assert.match(listed.stdout, /ci +[0-9a-f]{8} +operate +ci-/);
  assert.ok(!listed.stdout.includes(one?.sha256 ?? key));
  assert.equal((await keys('create', 'ci')).status, 2);
  assert.equal((await keys('create', 'no name')).status, 2);
  assert.equal((await keys('remove', 'other')).status, 2);
  assert.equal(stored().length, 1);
});

test('a rotation goes from the old key to the new one while the daemon serves', async (t) => {
  const { file, keys, stored } = home(t);
  const first = (await keys('create', 'ci')).stdout.trim();
  const server = await startServer(t, { environment: { VOLANT_API_KEYS_FILE: file } });
  const status = async (key: string) =>
    (await ask(server, 'GET /api/v1/vms', { headers: { 'X-Volant-API-Key': key } })).status;
  const reads = () => server.log.filter(({ message }) => /read again/.test(message)).length;
  assert.equal(await status(first), 200);
  const second = (await keys('rotate', 'ci', '--grace', '1h')).stdout.trim();
  await eventually(() => reads() === 1, 'the new key');
  assert.deepEqual([await status(first), await status(second)], [200, 200]);
  const [old, next] = stored();
  assert.deepEqual([next?.scope, next?.expiresAt], ['read', null]);
  assert.ok(Date.parse(old?.expiresAt ?? '') < Date.now() + 3_601_000);
  const third = (await keys('rotate', 'ci', '--grace', '0s')).stdout.trim();
  await eventually(() => reads() === 2, 'the third key');
  assert.deepEqual(await Promise.all([first, second, third].map(status)), [401, 401, 200]);
  await server.server.drain(1000);
  assert.match((await keys('list')).stdout, new RegExp(`${stored()[2]?.id} .* 20\\d\\d-.*Z$`, 'm'));
  assert.equal((await keys('remove', 'ci')).status, 0);
  assert.deepEqual(stored(), []);
});

test('two changes at once do not lose each other, and a broken file is left alone', async (t) => {
  const { file, keys, stored } = home(t);
  const names = ['a', 'b', 'c', 'd'];
  const made = await Promise.all(names.map((name) => keys('create', name)));
  const kept = stored().map(({ name }) => name);
  // Who came at the same time was told so.
  for (const [index, { status, stderr }] of made.entries()) {
    if (status === 0) assert.ok(kept.includes(names[index] ?? ''));
    else assert.match(stderr, /Another volar is changing/);
  }
  assert.ok(!existsSync(`${file}.new`));
  writeFileSync(file, '{');
  const refused = await keys('create', 'e');
  assert.deepEqual([refused.status, readFileSync(file, 'utf8')], [1, '{']);
  assert.match(refused.stderr, /keys\.json cannot be used: it is not JSON/);
});
