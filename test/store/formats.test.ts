// A state of an older format is changed in one step, and not before there is a copy of it.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { VmRecord } from '../../src/engine/records.ts';
import { openEnv } from '../../src/store/env.ts';
import { migrate } from '../../src/store/formats.ts';
import { checkState } from '../../src/store/integrity.ts';
import { openStore } from '../../src/store/store.ts';
import { openTables, STORE_VERSION } from '../../src/store/tables.ts';
import { silentLog } from '../engine/fakes.ts';
import { vmRecord } from './vm-record.ts';

/** A state as a daemon of format 1 wrote it. */
async function oldState(t: TestContext, vms: number): Promise<string> {
  const parent = mkdtempSync(join(tmpdir(), 'volant-formats-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  const directory = join(parent, 'state');
  const env = openEnv(directory);
  const tables = openTables(env);
  await env.write(() => {
    tables.meta.put('storeVersion', 1);
    for (let id = 1; id <= vms; id += 1) tables.vms.put(id, ofFormat1(id));
  });
  await env.close();
  return directory;
}

function ofFormat1(id: number): VmRecord {
  const { wanted, observed, ...record } = vmRecord(id, { status: id % 2 ? 'running' : 'stopped' });
  return record as VmRecord;
}

const copiesOf = (directory: string) =>
  readdirSync(join(directory, '..')).filter((name) => name.startsWith('state.format-'));

suite('formats of the state', () => {
  test('every record of format 1 is changed, after a copy that can be used', async (t) => {
    const directory = await oldState(t, 300);
    const store = openStore(directory, silentLog);
    await store.close();
    const env = openEnv(directory);
    const { vms, meta } = openTables(env);
    const records = [...vms.range({})].map(({ value }) => value);
    assert.equal(records.length, 300);
    assert.deepEqual(records[0], { ...vmRecord(1) });
    assert.deepEqual(records[1]?.wanted, { state: 'stopped', launch: 1 });
    assert.equal(meta.get('storeVersion'), STORE_VERSION);
    await env.close();
    const [copy = ''] = copiesOf(directory);
    assert.match(copy, /^state\.format-1\.\d{8}T\d{6}\.\d{3}Z$/);
    assert.deepEqual(await checkState(join(directory, '..', copy)), { kind: 'whole' });
    const old = openEnv(join(directory, '..', copy));
    assert.deepEqual(openTables(old).vms.get(7), ofFormat1(7));
    await old.close();
    // Once is enough.
    await openStore(directory, silentLog).close();
    assert.equal(copiesOf(directory).length, 1);
  });

  test('a new state needs no copy, and of many copies the newest stay', async (t) => {
    const directory = await oldState(t, 1);
    for (let round = 0; round < 5; round += 1) {
      const env = openEnv(directory);
      const tables = openTables(env);
      await env.write(() => tables.meta.put('storeVersion', 1));
      assert.notEqual(migrate(env, tables, directory, 1_000 * round), null);
      assert.equal(migrate(env, tables, directory, 0), null);
      await env.close();
    }
    assert.deepEqual(
      copiesOf(directory).map((name) => name.slice(-8)),
      ['0002.000Z', '0003.000Z', '0004.000Z'].map((end) => end.slice(-8)),
    );
  });

  test('a change that fails half-way changes nothing', async (t) => {
    const directory = await oldState(t, 3);
    const env = openEnv(directory);
    const tables = openTables(env);
    let puts = 0;
    const failing = {
      ...tables,
      vms: {
        ...tables.vms,
        put: (key: number, value: VmRecord) => {
          puts += 1;
          if (puts === 2) throw new Error('no space');
          tables.vms.put(key, value);
        },
      },
    };
    assert.throws(() => migrate(env, failing, directory, 0), /no space/);
    assert.deepEqual(tables.vms.get(1), ofFormat1(1));
    assert.equal(tables.meta.get('storeVersion'), 1);
    await env.close();
  });
});
