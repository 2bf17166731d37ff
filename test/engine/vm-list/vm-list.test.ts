// Lists of VMs: whatever comes, changes and goes, a page is what looking through all VMs finds.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { VmListQuery } from '../../../src/engine/engine-api.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import { IdList } from '../../../src/engine/vm-list/id-list.ts';
import { SortedList } from '../../../src/engine/vm-list/sorted-list.ts';
import { Entry, KEYS, summaryOf } from '../../../src/engine/vm-list/vm-entry.ts';
import { VmList } from '../../../src/engine/vm-list/vm-list.ts';
import { vmRecord } from '../../store/vm-record.ts';

/** Numbers below a bound, the same ones in each run: Numerical Recipes, "quick and dirty" (32 bits). */
function dice(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const STATUSES = ['running', 'stopped', 'crashed', 'starting'] as const;
const SORTS = ['created_at', 'name', 'status', 'runtime', 'updated_at'] as const;
const WORDS = ['web', 'db', 'Cache', 'worker', 'w'];

function randomVm(id: number, roll: (below: number) => number): VmRecord {
  const word = WORDS[roll(WORDS.length)] ?? '';
  const record = vmRecord(id);
  return {
    ...record,
    name: `${word}-${id}`,
    status: STATUSES[roll(STATUSES.length)] ?? 'running',
    runtime: ['hello', 'Hello', 'nginx'][roll(3)] ?? '',
    plugin: ['a', 'A', 'b', 'c'][roll(4)] ?? '',
    leases: { ...record.leases, ipAddress: roll(9) === 0 ? null : `10.88.${id >> 8}.${id & 255}` },
    updatedAtMs: roll(300),
  };
}

function randomQuery(roll: (below: number) => number): VmListQuery {
  const texts = ['w', 'we', 'web', 'web-', 'orker-1', '10.88.', '.1', 'ell', 'no such', '-77', 'W'];
  const some = <T>(values: readonly T[]) => values[roll(values.length)] as T;
  return {
    statuses: some([[], [], ['running'], ['stopped', 'crashed'], ['deleting']] as const),
    sort: some(SORTS),
    descending: roll(2) === 0,
    offset: some([0, 0, 3, 50, 10_000]),
    ...(roll(3) === 0 ? {} : { limit: some([0, 1, 7, 100, 10_000]) }),
    ...(roll(4) === 0 ? { runtime: some(['HELLO', 'nginx', 'none']) } : {}),
    ...(roll(4) === 0 ? { plugin: some(['a', 'B', 'none']) } : {}),
    ...(roll(4) === 0 ? { namePrefix: some(['w', 'web-1', '', 'x']) } : {}),
    ...(roll(2) === 0 ? { text: some(texts) } : {}),
  };
}

/** By looking through all of them. */
function expected(
  records: readonly VmRecord[],
  query: VmListQuery,
): { ids: number[]; total: number } {
  const { statuses, namePrefix = '', runtime, plugin, text = '', sort, descending } = query;
  const has = (value: string, part: string) => value.toLowerCase().includes(part.toLowerCase());
  const found = records.filter(
    (vm) =>
      (statuses.length === 0 || statuses.includes(vm.status)) &&
      vm.name.startsWith(namePrefix) &&
      (runtime === undefined || vm.runtime.toLowerCase() === runtime.toLowerCase()) &&
      (plugin === undefined || vm.plugin.toLowerCase() === plugin.toLowerCase()) &&
      [vm.name, vm.leases.ipAddress ?? '', vm.runtime].some((value) => has(value, text)),
  );
  const keyOf = (vm: VmRecord) => (sort === 'created_at' ? vm.id : KEYS[sort](summaryOf(vm)));
  const sign = descending ? -1 : 1;
  const sorted = found.toSorted((a, b) => {
    if (keyOf(a) === keyOf(b)) return a.id - b.id;
    return keyOf(a) < keyOf(b) ? -sign : sign;
  });
  const { offset, limit = Number.POSITIVE_INFINITY } = query;
  return { ids: sorted.slice(offset, offset + limit).map(({ id }) => id), total: found.length };
}

/** A list with the records that it is of. */
class Fleet {
  readonly records = new Map<number, VmRecord>();
  readonly entries = new Map<number, Entry>();
  readonly list: VmList;
  #nextId = 1;

  constructor(size: number, roll: (below: number) => number) {
    for (; this.#nextId <= size; this.#nextId += 1) this.#know(randomVm(this.#nextId, roll));
    this.list = new VmList(this.entries);
  }

  churn(roll: (below: number) => number): void {
    const what = roll(3);
    if (what === 0) {
      this.list.add(this.#know(randomVm(this.#nextId, roll)));
      this.#nextId += 1;
      return;
    }
    const ids = [...this.entries.keys()];
    const id = ids[roll(ids.length)] ?? 0;
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    if (what === 1) {
      this.list.remove(entry);
      this.entries.delete(id);
      this.records.delete(id);
      return;
    }
    const record = { ...randomVm(id, roll), name: entry.name };
    this.records.set(id, record);
    this.list.change(entry, summaryOf(record));
  }

  check(query: VmListQuery): void {
    const { entries, total } = this.list.select(query);
    const seen = { ids: entries.map(({ id }) => id), total };
    assert.deepEqual(seen, expected([...this.records.values()], query), JSON.stringify(query));
  }

  #know(record: VmRecord): Entry {
    const entry = new Entry(summaryOf(record));
    this.records.set(record.id, record);
    this.entries.set(record.id, entry);
    return entry;
  }
}

suite('lists of VMs', () => {
  for (const size of [0, 40, 400]) {
    test(`${size} VMs to begin with: each page is what looking through all of them finds`, () => {
      const roll = dice(size + 1);
      const fleet = new Fleet(size, roll);
      for (let round = 0; round < 1_500; round += 1) {
        for (let change = roll(3); change > 0; change -= 1) fleet.churn(roll);
        fleet.check(randomQuery(roll));
      }
    });
  }

  test('many VMs are indexed while they change, and lists that need it wait', async () => {
    const roll = dice(7);
    const fleet = new Fleet(6_000, roll);
    const byName = { statuses: [], sort: 'name', descending: false, offset: 0, limit: 50 } as const;
    const plain = { ...byName, sort: 'created_at' } as const;
    assert.equal(fleet.list.waitsFor(plain), null);
    let isReady = false;
    const ready = fleet.list.waitsFor(byName)?.then(() => {
      isReady = true;
    });
    while (!isReady) {
      for (let change = 0; change < 20; change += 1) fleet.churn(roll);
      fleet.check(plain);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ready;
    assert.equal(fleet.list.waitsFor(byName), null);
    for (let round = 0; round < 200; round += 1) fleet.check(randomQuery(roll));
  });

  test('a query that took long is answered from what it found, as that changes', () => {
    const roll = dice(3);
    const fleet = new Fleet(500, roll);
    const query = {
      statuses: ['running', 'stopped'],
      text: 'w',
      sort: 'updated_at',
      descending: true,
      offset: 0,
      limit: 20,
    } as const;
    for (let round = 0; round < 300; round += 1) {
      fleet.churn(roll);
      fleet.check({ ...query, offset: roll(100) });
    }
  });

  test('how many VMs have each status and runtime', () => {
    const roll = dice(5);
    const fleet = new Fleet(100, roll);
    for (let change = 0; change < 300; change += 1) fleet.churn(roll);
    const countOf = (keyOf: (vm: VmRecord) => string) => {
      const counts: Record<string, number> = {};
      for (const vm of fleet.records.values()) counts[keyOf(vm)] = (counts[keyOf(vm)] ?? 0) + 1;
      return counts;
    };
    assert.deepEqual(
      fleet.list.counts('status'),
      countOf(({ status }) => status),
    );
    assert.deepEqual(
      fleet.list.counts('runtime'),
      countOf(({ runtime }) => runtime.toLowerCase()),
    );
  });
});

suite('sorted lists', () => {
  test('items in any order, and every rank of them', () => {
    const roll = dice(11);
    const list = new SortedList<number>((a, b) => a - b);
    const ids = new IdList();
    const all = new Set<number>();
    for (let round = 0; round < 20_000; round += 1) {
      const number = roll(8_000);
      if (roll(3) > 0) {
        if (!all.has(number)) list.add(number);
        ids.add(number);
        all.add(number);
      } else {
        list.remove(number);
        ids.remove(number);
        all.delete(number);
      }
    }
    const sorted = [...all].sort((a, b) => a - b);
    assert.deepEqual([...list], sorted);
    assert.equal(ids.size, sorted.length);
    assert.deepEqual(ids.slice(0, Number.POSITIVE_INFINITY), sorted);
    for (const [from, to] of [
      [0, 10],
      [511, 514],
      [1_000, 3_000],
      [sorted.length - 2, 9_999],
    ] as const) {
      assert.deepEqual(list.slice(from, to), sorted.slice(from, to));
      assert.deepEqual(ids.slice(from, to), sorted.slice(from, to));
    }
    for (const rank of [0, 1, 600, sorted.length - 1]) assert.equal(list.at(rank), sorted[rank]);
    assert.equal(list.at(sorted.length), undefined);
    assert.equal(
      list.rank((item) => item - 4_000),
      sorted.filter((item) => item < 4_000).length,
    );
  });
});
