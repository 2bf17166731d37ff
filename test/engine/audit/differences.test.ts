// Which differences between records and host an audit tells, and about which VMs it says nothing.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type AuditedVm,
  type AuditView,
  differencesIn,
  unsettledIn,
} from '../../../src/engine/audit/differences.ts';
import type { HostInventory } from '../../../src/engine/ports/process-ports.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import { summaryOf } from '../../../src/engine/vm-list/vm-entry.ts';
import { changed } from '../../../src/engine/vm-record/status.ts';
import { vmRecord } from '../../http/fake-engine.ts';

const NOTHING: HostInventory = {
  bootId: 'boot',
  tapNames: [],
  runDirectoryIds: [],
  diskDirectoryIds: [],
  processes: [],
  cgroupNames: [],
  orderlyExitIds: [],
};

const tapOf = (id: number) => `vtabcd-${id.toString(36)}`;

function running(id: number, name: string): VmRecord {
  const record = vmRecord(id, name);
  return { ...record, leases: { ...record.leases, tapName: tapOf(id) } };
}

const stopped = (id: number, name: string) =>
  changed(
    running(id, name),
    { wanted: { state: 'stopped' }, observed: { isReleased: true }, process: null },
    1,
  );

/** What the host has of VMs that run. */
function hostOf(records: readonly VmRecord[]): HostInventory {
  return {
    ...NOTHING,
    tapNames: records.map(({ id }) => tapOf(id)),
    runDirectoryIds: records.map(({ id }) => id),
    cgroupNames: records.map(({ id }) => `vm-${id}`),
    processes: records.flatMap(({ id, process }) =>
      process === null ? [] : [{ vmId: id, identity: process }],
    ),
  };
}

function view(
  records: readonly VmRecord[],
  inventory: HostInventory,
  more: Partial<AuditView> = {},
) {
  const owners = new Map(records.map(({ id, leases }) => [leases.ipAddress, id]));
  return {
    vms: records.map(summaryOf),
    recordOf: (vmId: number) => records.find(({ id }) => id === vmId),
    inventory,
    lastVmId: 100,
    hasChanged: () => false,
    holderOf: (address: string) => owners.get(address) ?? null,
    ...more,
  };
}

const told = (seen: AuditView) =>
  differencesIn(seen).map(({ kind, subject, vm, remedy }) =>
    [kind, subject, vm ?? '-', remedy === null ? 'repair' : 'restart'].join(' '),
  );

suite('differences', () => {
  test('there are none where the host is as the records say', () => {
    const runs = running(1, 'runs');
    assert.deepEqual(told(view([runs, stopped(2, 'stopped')], hostOf([runs]))), []);
  });

  test('a VM that runs lacks its process, or what cannot be given back to it', () => {
    const [one, two] = [running(1, 'one'), running(2, 'two')];
    const inventory = { ...hostOf([one, two]), processes: hostOf([two]).processes, tapNames: [] };
    assert.deepEqual(told(view([one, two], { ...inventory, runDirectoryIds: [1] })), [
      'process_missing 4001 one repair',
      `tap_missing ${tapOf(2)} two restart`,
      'run_directory_missing 2 two restart',
    ]);
  });

  test('a VM that does not run, and nobody, have something of the kernel', () => {
    const seen = hostOf([running(2, 'was'), running(9, 'nobody')]);
    assert.deepEqual(told(view([stopped(2, 'stopped')], { ...seen, diskDirectoryIds: [2, 9] })), [
      'process_left 4002 stopped repair',
      `tap_left ${tapOf(2)} stopped repair`,
      'cgroup_left vm-2 stopped repair',
      'process_unknown 4009 - repair',
      `tap_unknown ${tapOf(9)} - repair`,
      'cgroup_unknown vm-9 - repair',
      'run_directory_unknown 9 - repair',
      'disks_unknown 9 - repair',
    ]);
  });

  test('an address is leased to nobody, or to another VM', () => {
    const one = stopped(1, 'one');
    for (const holder of [null, 7]) {
      const wrong = told(view([one], NOTHING, { holderOf: () => holder }));
      assert.deepEqual(wrong, [`lease_wrong ${one.leases.ipAddress} one repair`]);
    }
  });

  test('nothing is said of what is on its way, or has come since the look began', () => {
    const ends = changed(running(1, 'ends'), { wanted: { state: 'stopped' } }, 1);
    const fresh = running(2, 'fresh');
    const hasChanged = ({ id }: AuditedVm) => id === fresh.id;
    const host = hostOf([running(3, 'newer')]);
    const seen = view([ends, fresh], host, { lastVmId: 2, hasChanged });
    assert.deepEqual([told(seen), unsettledIn(seen)], [[], ['ends', 'fresh']]);
  });
});
