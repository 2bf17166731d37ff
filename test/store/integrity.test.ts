// Whether a state can be read is said before it is mapped: damage is a sentence, never a signal.

import assert from 'node:assert/strict';
import {
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { openEnv } from '../../src/store/env.ts';
import { checkRecords, checkState } from '../../src/store/integrity.ts';
import { problemInPages } from '../../src/store/pages.ts';
import { openStore } from '../../src/store/store.ts';
import { openTables } from '../../src/store/tables.ts';
import { silentLog } from '../engine/fakes.ts';
import { vmRecord } from './vm-record.ts';

const PAGE_BYTES = 4096;

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-integrity-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A state with VMs, each with a config and an event. */
async function stateWith(t: TestContext, vms: number): Promise<{ home: string; file: string }> {
  const home = temporary(t);
  const store = openStore(home, silentLog);
  const ids = Array.from({ length: vms }, (_, index) => index + 1);
  await Promise.all(
    ids.map((id) => {
      const value = vmRecord(id);
      const event = { type: 'VM_CREATED', name: value.name, status: 'starting', timestamp: '' };
      return store.commit([{ table: 'vms', key: id, value }], [event]);
    }),
  );
  await store.close();
  return { home, file: join(home, 'volant.lmdb') };
}

function overwrite(file: string, offset: number, bytes: Buffer): void {
  writeSync(openSync(file, 'r+'), bytes, 0, bytes.length, offset);
}

const never = new AbortController().signal;

async function whyDamaged(home: string): Promise<string> {
  const condition = await checkState(home);
  assert.equal(condition.kind, 'damaged');
  return condition.kind === 'damaged' ? condition.why : '';
}

suite('the check of the state', () => {
  test('a state that was closed, and one that was never there', async (t) => {
    assert.deepEqual(await checkState(temporary(t)), { kind: 'absent' });
    const { home, file } = await stateWith(t, 50);
    assert.deepEqual(await checkState(home), { kind: 'whole' });
    truncateSync(file, 0);
    assert.deepEqual(await checkState(home), { kind: 'absent' });
  });

  test('a file that was truncated', async (t) => {
    const { home, file } = await stateWith(t, 500);
    const { size } = statSync(file);
    for (const left of [size / 2, 5 * PAGE_BYTES, 100]) {
      truncateSync(file, Math.floor(left));
      assert.notEqual(await whyDamaged(home), '');
    }
  });

  test('pages that were overwritten, the first ones and any other', async (t) => {
    for (const fill of [0x00, 0xff, 0x5a]) {
      const { home, file } = await stateWith(t, 500);
      const pages = Math.floor(statSync(file).size / PAGE_BYTES);
      overwrite(file, 0, Buffer.alloc(PAGE_BYTES, fill));
      assert.notEqual(await whyDamaged(home), '');
      const second = await stateWith(t, 500);
      overwrite(second.file, 2 * PAGE_BYTES, Buffer.alloc((pages - 2) * PAGE_BYTES, fill));
      assert.notEqual(await whyDamaged(second.home), '');
    }
  });

  test('a record that is not what its key says, in a small table and in a large one', async (t) => {
    const { home } = await stateWith(t, 5);
    const env = openEnv(home);
    await env.write(() => openTables(env).vms.put(3, vmRecord(4)));
    assert.deepEqual(await checkState(home), { kind: 'whole' });
    const records = await checkRecords(home, never);
    assert.deepEqual(records, { kind: 'damaged', why: 'a record of vms does not match its key' });
    await env.write(() => openTables(env).deployments.put('a', 'b' as never));
    await env.close();
    assert.match(await whyDamaged(home), /record of deployments/);
  });

  test('records that are larger than a page, and tables of many pages', async (t) => {
    const { home } = await stateWith(t, 3_000);
    const store = openStore(home, silentLog);
    for (const bytes of [4_000, 4_072, 4_073, 100_000]) {
      const answer = { fingerprint: 'x'.repeat(bytes), answer: null, createdAtMs: 1 };
      await store.commit([{ table: 'answers', key: `of ${bytes}`, value: answer }], []);
    }
    const gone = Array.from({ length: 1_000 }, (_, index) => 2 * index + 1);
    const writes = gone.map((key) => ({ table: 'vms', key, value: null }) as const);
    await store.commit(writes, []);
    await store.close();
    assert.deepEqual(await checkState(home), { kind: 'whole' });
    assert.deepEqual(await checkRecords(home, never), { kind: 'whole' });
  });

  test('what the check of the pages lets through does not end who reads it', async (t) => {
    const { home, file } = await stateWith(t, 300);
    const whole = readFileSync(file);
    let letThrough = 0;
    for (let round = 0; round < 400; round += 1) {
      const bytes = Buffer.from(whole);
      // Numbers that are spread evenly, the same ones in each run.
      const at = (round * 7_919 * 4_099) % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
      writeFileSync(file, bytes);
      if (problemInPages(file) !== null) continue;
      letThrough += 1;
      // A process for each would take minutes.
      if (letThrough % 20 !== 0) continue;
      const records = await checkRecords(home, never);
      assert.doesNotMatch(JSON.stringify(records), /ends with SIG/, `byte ${at}`);
    }
    assert.ok(letThrough > 0);
  });

  test('a row that no start could decode, in each table that a start reads as a whole', async (t) => {
    const { home } = await stateWith(t, 5);
    const env = openEnv(home);
    // An array of three without them.
    const notARecord = Uint8Array.of(0x93);
    const { summaries, addresses, devices } = openTables(env);
    for (const table of [summaries, addresses, devices]) {
      const key = table === summaries ? 3 : 'key';
      await env.write(() => table.putEncoded(key as never, notARecord));
      assert.notEqual(await whyDamaged(home), '');
      await env.write(() => table.remove(key as never));
      assert.deepEqual(await checkState(home), { kind: 'whole' });
    }
    await env.close();
  });

  test('what does not end is given up, and what is not wanted any more ends', async (t) => {
    const { home } = await stateWith(t, 1);
    await assert.rejects(checkRecords(home, never, 1), /was ended by SIGKILL/);
    const ending = new AbortController();
    const checking = checkRecords(home, ending.signal);
    ending.abort();
    assert.deepEqual(await checking, { kind: 'whole' });
  });
});
