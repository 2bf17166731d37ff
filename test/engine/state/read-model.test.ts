// What reads see of VMs: what is on disk and was answered, at once and no sooner, whether their records are in memory or not.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { EventLog } from '../../../src/engine/events/events.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import { ReadModel } from '../../../src/engine/state/read-model.ts';
import { putVm, State } from '../../../src/engine/state/state.ts';
import { changed } from '../../../src/engine/vm-record/status.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { vmRecord } from '../../store/vm-record.ts';
import { FakeStore } from '../fake-store.ts';

const AT_REST = {
  wanted: { state: 'stopped', launch: 1 },
  observed: { launch: 1, attempt: 1, end: 'stopped', isReleased: true },
  status: 'stopped',
} as const;

const ALL = { statuses: [], sort: 'created_at', descending: false, offset: 0 } as const;

/** VMs at rest, with the ids from 1, and how often a record was read. */
function world(count: number) {
  const store = new FakeStore();
  for (let id = 1; id <= count; id += 1) store.vms.set(id, vmRecord(id, AT_REST));
  const reads = { count: 0 };
  const read = (vmId: number) => {
    reads.count += 1;
    return store.vm(vmId);
  };
  const vms = new ReadModel('/run/volant', { summaries: store.summaries(), read });
  const state = new State(store, vms, new EventLog(store, 0, 16), () => undefined);
  return { store, reads, vms, state };
}

function bodyOf(vms: ReadModel, name: string): Vm {
  return JSON.parse(vms.body(name) ?? 'null') as Vm;
}

async function listed(vms: ReadModel): Promise<Vm[]> {
  return JSON.parse((await vms.list(ALL)).body) as Vm[];
}

suite('the read model', () => {
  test('of VMs at rest no record is read before somebody asks, and then once', () => {
    const { reads, vms } = world(50);
    assert.equal(reads.count, 0);
    assert.equal(vms.active().length, 0);
    for (let round = 0; round < 3; round += 1) {
      assert.equal(bodyOf(vms, 'vm-7').status, 'stopped');
      assert.equal(vms.recordByName('vm-7')?.id, 7);
    }
    // For the body, and for the record.
    assert.ok(reads.count <= 2, `${reads.count} reads`);
  });

  test('records that nobody asks for any more leave the memory', () => {
    const { reads, vms } = world(LIMITS.recordsKeptMax + 10);
    vms.record(1);
    for (let id = 2; id <= vms.size; id += 1) vms.record(id);
    const before = reads.count;
    vms.record(vms.size);
    assert.equal(reads.count, before);
    vms.record(1);
    assert.equal(reads.count, before + 1);
  });

  test('a change is seen when it is on disk and answered, and not before', async () => {
    const { store, vms, state } = world(3);
    const next = changed(vmRecord(2, AT_REST), { kernelCmdline: 'other' }, 5);
    const committing = state.commit([putVm(next)], []);
    // The disk may be ahead of the answer.
    store.vms.set(2, next);
    assert.notEqual(bodyOf(vms, 'vm-2').kernel_cmdline, 'other');
    assert.notEqual(vms.record(2)?.kernelCmdline, 'other');
    assert.notEqual((await listed(vms))[1]?.kernel_cmdline, 'other');
    await committing;
    assert.equal(bodyOf(vms, 'vm-2').kernel_cmdline, 'other');
    assert.equal(vms.record(2)?.kernelCmdline, 'other');
    assert.equal((await listed(vms))[1]?.kernel_cmdline, 'other');
  });

  test('a change that fails changes nothing, and holds nothing in memory', async () => {
    const { store, reads, vms, state } = world(3);
    store.beforeCommit = () => {
      throw new Error('no disk');
    };
    const next = changed(vmRecord(2, AT_REST), { kernelCmdline: 'other' }, 5);
    await assert.rejects(state.commit([putVm(next)], []), /no disk/);
    assert.notEqual(bodyOf(vms, 'vm-2').kernel_cmdline, 'other');
    for (let id = 10; id < 10 + LIMITS.recordsKeptMax; id += 1) vms.put(vmRecord(id, AT_REST));
    const before = reads.count;
    vms.record(2);
    assert.equal(reads.count, before + 1);
  });

  test('one that is started is in memory until it is at rest again', async () => {
    const { reads, vms, state } = world(3);
    const commit = (record: VmRecord) => state.commit([putVm(record)], []);
    const stopped = vmRecord(2, AT_REST);
    const wanted = { state: 'running', launch: 2 } as const;
    const starting = changed(stopped, { wanted, observed: { isReleased: false } }, 6);
    await commit(starting);
    assert.deepEqual(vms.active(), [starting]);
    assert.equal(vms.isAtRest(2), false);
    const before = reads.count;
    assert.equal(vms.record(2), starting);
    assert.equal(reads.count, before);
    await commit(changed(starting, stopped, 7));
    assert.deepEqual([vms.active(), vms.isAtRest(2)], [[], true]);
    assert.equal(bodyOf(vms, 'vm-2').status, 'stopped');
  });

  test('what is reported of a VM is in its body and in lists at once', async () => {
    const { vms } = world(3);
    await listed(vms);
    vms.setStatusReason(2, 'waits for its image');
    assert.equal(bodyOf(vms, 'vm-2').status_reason, 'waits for its image');
    assert.equal((await listed(vms))[1]?.status_reason, 'waits for its image');
    vms.setStatusReason(2, null);
    assert.equal((await listed(vms))[1]?.status_reason, undefined);
  });

  test('a long list has the VMs of one moment, whatever comes and goes while it is read', async () => {
    const { vms, state } = world(3_000);
    const { total, count, pieces } = await vms.stream(ALL);
    let text = '';
    let read = 0;
    for (let next = pieces.next(); next.done !== true; next = pieces.next()) {
      text += next.value;
      read += 1;
      // One that was read already, some that were not, and a new one.
      for (const id of [read, 1_000 + read, 3_000 - read]) {
        await state.commit([{ table: 'vms', key: id, value: null }], []);
      }
      await state.commit([putVm(vmRecord(5_000 + read, AT_REST))], []);
    }
    const seen = JSON.parse(text) as Vm[];
    assert.ok(read > 5, `${read} pieces`);
    assert.deepEqual([total, count, seen.length], [3_000, 3_000, 3_000]);
    assert.deepEqual(
      seen.map(({ id }) => id),
      Array.from({ length: 3_000 }, (_, index) => index + 1),
    );
    assert.equal(vms.size, 3_000 - 3 * read + read);
  });

  test('so many long lists are read at a time, and one that is given back makes room', async () => {
    const { vms } = world(10);
    const streams = [];
    for (let count = 0; count < LIMITS.listStreamsMax; count += 1) {
      const { pieces } = await vms.stream({ ...ALL, sort: 'name' });
      streams.push(pieces);
    }
    await assert.rejects(vms.stream(ALL), { code: 'OVERLOADED' });
    streams[0]?.return?.();
    assert.equal((await vms.stream(ALL)).count, 10);
  });
});
