// The file of the records: it grows when there is more to keep, and does not when there is not, whoever reads meanwhile.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { EventBody } from '../../src/engine/records.ts';
import { dataFileOf } from '../../src/store/env.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { silentLog } from '../engine/fakes.ts';

const MIB = 1024 ** 2;
const MESSAGE = 'x'.repeat(4_000);

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-growth-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** So many transactions of about 100 kB. */
async function write(store: Store, transactions: number): Promise<void> {
  const event: EventBody = { type: 'X', name: 'x', status: '', timestamp: '', message: MESSAGE };
  for (let count = 0; count < transactions; count += 1) {
    await store.commit(
      [],
      Array.from({ length: 25 }, () => event),
    );
  }
}

const sizeOf = (directory: string) => statSync(dataFileOf(directory)).size;

suite('the file of the records', () => {
  test('grows with what is kept', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog);
    await write(store, 400);
    assert.ok(sizeOf(directory) > 35 * MIB);
    await store.close();
    const again = openStore(directory, silentLog);
    t.after(() => again.close());
    assert.equal(again.load().lastSequence, 10_000);
    assert.equal(again.eventsAfter(9_999, 10)[0]?.body.message, MESSAGE);
  });

  test('does not grow by what goes again, while somebody takes his time with a backup', async (t) => {
    const directory = temporary(t);
    const store = openStore(directory, silentLog, 100);
    t.after(() => store.close());
    await write(store, 50);
    const before = sizeOf(directory);
    const backup = await store.backup();
    assert.ok((await backup.read(0, 4096)).length > 0);
    await write(store, 400);
    const after = sizeOf(directory);
    assert.ok((await backup.read(4096, 4096)).length > 0);
    await backup.close();
    assert.ok(after < before + 8 * MIB, `${before} bytes became ${after}`);
  });
});
