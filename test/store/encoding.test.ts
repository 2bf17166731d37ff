// store: records are bytes on disk that every later version must read. The bytes here were written by an earlier one.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { open } from 'lmdb';
import { dataFileOf, openEnv } from '../../src/store/env.ts';

const TABLE = 'vms';

/** Every kind of value that records have. */
const RECORD = {
  id: 1,
  name: 'é-1',
  process: null,
  members: [1, 2, { isOn: true }],
  createdAtMs: 1_764_443_216_000,
  updatedAtMs: 1_764_443_216_000.5,
  negative: -3,
  ratio: 0.25,
  empty: {},
  inner: { deep: { text: 'x'.repeat(40) } },
};

/** As formats 1 and 2 had it, with msgpackr's extension for objects. */
const STORED_BEFORE = [
  'd472409aa26964a46e616d65a770726f63657373a76d656d62657273ab6372656174656441744d73ab757064',
  '6174656441744d73a86e65676174697665a5726174696fa5656d707479a5696e6e657201a4c3a92d31c09301',
  '02d4724191a469734f6ec3cb4279ad102d880000cb4279ad102d880800fdcb3fd0000000000000d4724290d4',
  '724391a464656570d4724491a474657874d92878787878787878787878787878787878787878787878787878',
  '787878787878787878787878787878',
].join('');

const STORED = [
  '8aa2696401a46e616d65a4c3a92d31a770726f63657373c0a76d656d6265727393010281a469734f6ec3ab63',
  '72656174656441744d73cb4279ad102d880000ab7570646174656441744d73cb4279ad102d880800a86e6567',
  '6174697665fda5726174696fcb3fd0000000000000a5656d70747980a5696e6e657281a46465657081a47465',
  '7874d92878787878787878787878787878787878787878787878787878787878787878787878787878787878',
].join('');

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-encoding-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The same file, without an encoder. */
function openRaw(directory: string) {
  const root = open({ path: dataFileOf(directory), maxDbs: 16 });
  const table = root.openDB<Buffer, number>({ name: TABLE, encoding: 'binary' });
  return { root, table };
}

test('bytes that were stored once are read as the record that they are', async (t) => {
  const directory = directoryOf(t);
  const { root, table } = openRaw(directory);
  await table.put(1, Buffer.from(STORED_BEFORE, 'hex'));
  await table.put(2, Buffer.from(STORED, 'hex'));
  await root.close();
  const env = openEnv(directory);
  for (const id of [1, 2]) assert.deepEqual(env.table<number, unknown>(TABLE).get(id), RECORD);
  await env.close();
});

test('a record is written as those bytes, whatever was written before it', async (t) => {
  const directory = directoryOf(t);
  const env = openEnv(directory);
  const table = env.table<number, unknown>(TABLE);
  await env.write(() => {
    table.put(1, { other: 'members', inner: { more: [] } });
    table.put(2, RECORD);
  });
  await env.write(() => table.put(3, RECORD));
  await env.write(() => table.putEncoded(4, env.encode(RECORD)));
  await env.close();
  const raw = openRaw(directory);
  for (const id of [2, 3, 4]) assert.equal(raw.table.get(id)?.toString('hex'), STORED);
  await raw.root.close();
});
