// What the check of a state reads of every VM is what the daemon is built from: the same as on disk, also after a change.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import type { Write } from '../../src/engine/ports/store-ports.ts';
import { checkState } from '../../src/store/integrity.ts';
import { StartRows } from '../../src/store/start-rows.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { silentLog } from '../engine/fakes.ts';
import { vmRecord } from './vm-record.ts';

const writesOf = (id: number): Write[] => [
  { table: 'vms', key: id, value: vmRecord(id) },
  { table: 'addresses', key: `10.0.0.${id}`, value: { vmId: id, releasedAtMs: null } },
];

const readAll = (store: Store) => ({
  summaries: [...store.summaries()],
  leases: [...store.addressLeases()],
});

/** A state with three VMs that was checked, as a start does. */
async function checked(t: TestContext): Promise<{ directory: string; rows: StartRows }> {
  const directory = mkdtempSync(join(tmpdir(), 'volant-rows-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const store = openStore(directory, silentLog);
  await store.commit([1, 2, 3].flatMap(writesOf), []);
  await store.close();
  const rows = new StartRows();
  assert.deepEqual(await checkState(directory, rows.note), { kind: 'whole' });
  return { directory, rows };
}

test('what was read is the same as what is read again', async (t) => {
  const { directory, rows } = await checked(t);
  const store = openStore(directory, silentLog, LIMITS.eventsStoredMax, rows);
  t.after(() => store.close());
  const first = readAll(store);
  assert.deepEqual(
    first.summaries.map(({ id }) => id),
    [1, 2, 3],
  );
  assert.deepEqual(first.leases[2], ['10.0.0.3', { vmId: 3, releasedAtMs: null }]);
  assert.deepEqual(first, readAll(store));
});

test('a deadline is read with its VM, and a row of an earlier version has none', async (t) => {
  const { directory } = await checked(t);
  const store = openStore(directory, silentLog);
  t.after(() => store.close());
  const deadline = { atMs: 86_400_000, uptimeMs: 5_000, bootId: 'boot' };
  await store.commit([{ table: 'vms', key: 2, value: vmRecord(2, { deadline }) }], []);
  const deadlines = () => [...store.summaries()].map(({ deadline: found }) => found);
  assert.deepEqual(deadlines(), [null, deadline, null]);
  await store.commit([{ table: 'vms', key: 2, value: vmRecord(2, { deadline: null }) }], []);
  assert.deepEqual(deadlines(), [null, null, null]);
});

test('a change since the check is not overlooked', async (t) => {
  const { directory, rows } = await checked(t);
  const store = openStore(directory, silentLog, LIMITS.eventsStoredMax, rows);
  t.after(() => store.close());
  const gone: Write[] = [
    { table: 'vms', key: 2, value: null },
    { table: 'addresses', key: '10.0.0.2', value: null },
  ];
  await store.commit([...gone, ...writesOf(4)], []);
  const { summaries, leases } = readAll(store);
  assert.deepEqual(
    summaries.map(({ id }) => id),
    [1, 3, 4],
  );
  assert.deepEqual(
    leases.map(([address]) => address),
    ['10.0.0.1', '10.0.0.3', '10.0.0.4'],
  );
});
