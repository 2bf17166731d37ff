// Bodies of VMs at rest in memory: the oldest go first, and one that nobody can ask for any more takes no memory.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KeptBodies } from '../../../src/engine/state/kept-bodies.ts';
import { ReadModel } from '../../../src/engine/state/read-model.ts';
import { Entry, summaryOf } from '../../../src/engine/vm-list/vm-entry.ts';
import { vmRecord } from '../../store/vm-record.ts';

const AT_REST = {
  wanted: { state: 'stopped', launch: 1 },
  observed: { launch: 1, attempt: 1, end: 'stopped', isReleased: true },
  status: 'stopped',
} as const;

function entries(count: number): Entry[] {
  return Array.from({ length: count }, (_, id) => new Entry(summaryOf(vmRecord(id + 1, AT_REST))));
}

/** As the read model does it. */
function keep(kept: KeptBodies, entry: Entry, body: string): void {
  entry.body = body;
  kept.note(entry, body);
}

function keptOf(all: readonly Entry[]): readonly number[] {
  return all.filter(({ body }) => body !== null).map(({ id }) => id);
}

suite('kept bodies', () => {
  test('the oldest are evicted when all together are too long', () => {
    const kept = new KeptBodies(30);
    const all = entries(5);
    for (const entry of all) keep(kept, entry, 'x'.repeat(10));
    assert.deepEqual(keptOf(all), [3, 4, 5]);
    assert.equal(kept.hasSpace, false);
  });

  test('one that is made again is the newest, and counts once', () => {
    const kept = new KeptBodies(30);
    const all = entries(4);
    for (const entry of all.slice(0, 3)) keep(kept, entry, 'x'.repeat(10));
    for (const entry of all.slice(0, 1)) keep(kept, entry, 'y'.repeat(10));
    for (const entry of all.slice(3)) keep(kept, entry, 'x'.repeat(10));
    assert.deepEqual(keptOf(all), [1, 3, 4]);
    assert.equal(kept.size, 3);
  });

  test('one that is longer than all may be is not kept, and those after it are', () => {
    const kept = new KeptBodies(30);
    const all = entries(3);
    const [first, second, third] = all;
    assert.ok(first && second && third);
    keep(kept, first, 'x');
    keep(kept, second, 'x'.repeat(31));
    assert.deepEqual(keptOf(all), []);
    keep(kept, third, 'x'.repeat(30));
    assert.deepEqual(keptOf(all), [3]);
  });

  test('evictions continue in the order of age however many bodies were forgotten between', () => {
    const kept = new KeptBodies(100);
    const all = entries(3000);
    for (const [index, entry] of all.entries()) {
      keep(kept, entry, 'x'.repeat(10));
      if (index % 3 !== 0) continue;
      entry.body = null;
      kept.forget(entry);
    }
    const newest = all.filter((_, index) => index % 3 !== 0).slice(-10);
    assert.deepEqual(
      keptOf(all),
      newest.map(({ id }) => id),
    );
    assert.equal(kept.size, 10);
  });
});

test('VMs that come, are read at rest and go leave no body in memory', () => {
  const vms = new ReadModel('/run/volant', { summaries: [], read: () => undefined });
  for (let id = 1; id <= 50; id += 1) {
    const record = vmRecord(id, AT_REST);
    vms.put(record);
    assert.ok(vms.body(record.name));
    assert.equal(vms.bodiesKept, 1);
    // Another change, and the body is made again.
    vms.put({ ...record, updatedAtMs: record.updatedAtMs + 1 });
    assert.equal(vms.bodiesKept, 0);
    assert.ok(vms.body(record.name));
    vms.remove(id);
    assert.equal(vms.bodiesKept, 0);
  }
});
