// What is stored when a guest ends while something else is wanted already, and of the operations log meanwhile.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { EventLog } from '../../../src/engine/events/events.ts';
import { AddressPool } from '../../../src/engine/network/addresses.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import { ReadModel } from '../../../src/engine/state/read-model.ts';
import { putVm, State } from '../../../src/engine/state/state.ts';
import type { EndReport } from '../../../src/engine/vms/ends/end-reader.ts';
import { Journal } from '../../../src/engine/vms/journal.ts';
import { RecordWriter } from '../../../src/engine/vms/record-writer.ts';
import { until } from '../../helpers/until.ts';
import { vmRecord } from '../../store/vm-record.ts';
import { fakeClock } from '../fake-clock.ts';
import { FakeStore } from '../fake-store.ts';
import { newWorld, silentLog } from '../fakes.ts';

const CRASH: EndReport = {
  meaning: { status: 'crashed', message: 'It ended with status 1' },
  message: 'It ended with status 1',
  again: null,
};
const REBOOT: EndReport = {
  meaning: { status: 'stopped', message: 'The guest rebooted' },
  message: 'The guest rebooted: it is being launched again',
  again: 'reboot',
};
const CAUSE = { by: 'request' } as const;
const NETWORK = { base: 0xc0a87f00, prefixLength: 24 };

async function withVm(more: Partial<VmRecord> = {}) {
  const store = new FakeStore();
  const vms = new ReadModel('/run', { summaries: [], read: (id) => store.vm(id) });
  const state = new State(store, vms, new EventLog(store, 0, 16), () => undefined);
  const clock = fakeClock(newWorld());
  const journal = new Journal({ state, clock, log: silentLog });
  const addresses = new AddressPool(NETWORK, '192.168.127.1', 0, [], clock);
  const writer = new RecordWriter({ state, addresses, clock, journal });
  await state.commit([putVm(vmRecord(1, more))], []);
  const stored = () => {
    const record = state.find(1);
    assert.ok(record);
    return record;
  };
  const types = () => store.events.map(({ body }) => body.type);
  return { store, state, journal, writer, stored, types };
}

suite('an end that nobody asked for', () => {
  test('does not release what a restart wants already', async () => {
    const { writer, stored } = await withVm();
    const size = { cpuCores: 1, memoryMb: 128 } as never;
    await writer.wantLaunch(1, null, CAUSE, () => size);
    await writer.ended(1, CRASH, true);
    assert.equal(stored().status, 'starting');
    assert.equal(stored().observed.isReleased, false);
    await writer.wantStop(1, 0, CAUSE);
    assert.equal(stored().status, 'stopping');
  });

  test('is no relaunch when a stop came first', async () => {
    const { writer, stored, types } = await withVm();
    await writer.wantStop(1, 0, CAUSE);
    await writer.ended(1, REBOOT, true);
    assert.equal(stored().status, 'stopped');
    assert.ok(!types().includes('VM_RELAUNCHED'));
  });

  test('is a crash when the guest cannot be launched again after its reboot', async () => {
    const { writer, stored, types } = await withVm();
    await writer.ended(1, REBOOT, true);
    assert.equal(stored().status, 'starting');
    await writer.failed(1, 'The host has no memory left');
    assert.equal(stored().status, 'crashed');
    assert.equal(stored().conditions?.[0]?.reason, 'LaunchFailed');
    assert.deepEqual(types().slice(-2), ['VM_RELAUNCHED', 'VM_CRASHED']);
  });
});

suite('a grace period', () => {
  test('of a stop without one is shortened, and never prolonged', async () => {
    const config = { manifest: {}, stop_grace_seconds: 5 } as never;
    const { state, writer, stored } = await withVm();
    const value = { vmId: 1, version: 1, config, updatedAtMs: 1 };
    await state.commit([{ table: 'configs', key: [1, 1], value }], []);
    await writer.wantStop(1, null, CAUSE);
    assert.equal(await writer.wantStop(1, 600_000, CAUSE), false);
    assert.equal(await writer.wantStop(1, 1_000, CAUSE), true);
    assert.equal(stored().wanted.graceMs, 1_000);
  });
});

suite('the operations log', () => {
  test('keeps what ends while others are being written', async () => {
    const { store, state, journal } = await withVm();
    await state.commit([putVm(vmRecord(2))], []);
    journal.begin(1, 'start', CAUSE);
    journal.settled(1, false);
    let isWriting = false;
    const commit = store.commit.bind(store);
    store.commit = async (...given) => {
      isWriting = true;
      if (journal.of(2).length === 0) {
        journal.begin(2, 'start', CAUSE);
        journal.settled(2, false);
      }
      return commit(...given);
    };
    await until('the first is written', () => isWriting && store.operations(1, 1).length === 1);
    assert.equal(journal.of(2).length, 1);
    await journal.close();
    assert.equal(store.operations(2, 1).length, 1);
  });
});
