// Whether a state can be read is said before it is mapped: damage is a sentence, never a signal.

import assert from 'node:assert/strict';
import { mkdtempSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { openEnv } from '../../src/store/env.ts';
import { checkState } from '../../src/store/integrity.ts';
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

function whyDamaged(home: string, timeoutMs?: number): string {
  const condition = checkState(home, timeoutMs);
  assert.equal(condition.kind, 'damaged');
  return condition.kind === 'damaged' ? condition.why : '';
}

suite('the check of the state', () => {
  test('a state that was closed, and one that was never there', async (t) => {
    assert.deepEqual(checkState(temporary(t)), { kind: 'absent' });
    const { home, file } = await stateWith(t, 50);
    assert.deepEqual(checkState(home), { kind: 'whole' });
    truncateSync(file, 0);
    assert.deepEqual(checkState(home), { kind: 'absent' });
  });

  test('a file that was cut', async (t) => {
    const { home, file } = await stateWith(t, 500);
    const { size } = statSync(file);
    for (const left of [size / 2, 5 * PAGE_BYTES, 100]) {
      truncateSync(file, Math.floor(left));
      assert.notEqual(whyDamaged(home), '');
    }
  });

  test('pages that were overwritten, the first ones and any other', async (t) => {
    for (const fill of [0x00, 0xff, 0x5a]) {
      const { home, file } = await stateWith(t, 500);
      const pages = Math.floor(statSync(file).size / PAGE_BYTES);
      overwrite(file, 0, Buffer.alloc(PAGE_BYTES, fill));
      assert.notEqual(whyDamaged(home), '');
      const second = await stateWith(t, 500);
      overwrite(second.file, 2 * PAGE_BYTES, Buffer.alloc((pages - 2) * PAGE_BYTES, fill));
      assert.notEqual(whyDamaged(second.home, 10_000), '');
    }
  });

  test('a record that is not what its key says', async (t) => {
    const { home } = await stateWith(t, 5);
    const env = openEnv(home);
    await env.write(() => openTables(env).vms.put(3, vmRecord(4)));
    await env.close();
    assert.match(whyDamaged(home), /record of vms/);
  });

  test('10,000 VMs are read in little more time than one', async (t) => {
    const one = await stateWith(t, 1);
    const many = await stateWith(t, 10_000);
    const elapsedMs = [one, many].map(({ home }) => {
      const startedMs = performance.now();
      assert.deepEqual(checkState(home), { kind: 'whole' });
      return Math.round(performance.now() - startedMs);
    });
    t.diagnostic(`${elapsedMs.join(' and ')} ms`);
    assert.ok((elapsedMs[1] ?? 0) < 20 * (elapsedMs[0] ?? 0), `${elapsedMs} ms`);
  });

  test('what does not end is given up', async (t) => {
    const { home } = await stateWith(t, 1);
    assert.match(whyDamaged(home, 1), /does not end within 1 ms/);
  });
});
