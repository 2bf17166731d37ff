// What is made of the descriptions that launches left, when the records are lost.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { DeviceRecord, VmDescription, VmRecord } from '../../../src/engine/records.ts';
import {
  type DescribedVm,
  writesOfDeployments,
  writesOfDevices,
  writesOfPlugins,
} from '../../../src/engine/state/rebuilt-others.ts';
import type { VmConfig } from '../../../src/schema/vm-config.ts';

const PROCESS = { pid: 1, startTimeTicks: 1, bootId: 'boot' };
const NOTHING = { plugins: [], deployments: [], devices: [] };

function vm(
  id: number,
  record: Partial<VmRecord> = {},
  more: Partial<VmDescription> & { version?: string } = {},
): DescribedVm {
  const { version = '1', ...description } = more;
  const manifest = { name: 'hello', version };
  return {
    process: PROCESS,
    description: {
      record: { id, name: `vm-${id}`, configVersion: 1, createdAtMs: id, ...record } as VmRecord,
      config: { plugin: 'hello', metadata: { id }, manifest } as unknown as VmConfig,
      ...description,
    },
  };
}

const device = (address: string, vmId: number): DeviceRecord => ({
  address,
  formerDriver: 'host',
  formerOverride: '',
  vmId,
  staysBound: false,
  state: 'binding',
  boundAtMs: 1,
});

suite('plugins', () => {
  const versions = (...vms: readonly DescribedVm[]) =>
    writesOfPlugins(vms, NOTHING).map(({ value }) => value);

  test('are those of the newest launch that knew them', () => {
    const known = (version: string, installedAtMs: number) =>
      vm(1, {}, { version, plugin: { enabled: false, installedAtMs, manifest: null } });
    const [record, ...others] = versions(
      vm(9, {}, { version: 'old' }),
      known('2', 20),
      known('1', 10),
    );
    assert.deepEqual(others, []);
    assert.deepEqual(record, {
      manifest: { name: 'hello', version: '2' },
      enabled: false,
      installedAtMs: 20,
    });
  });

  test('are not made of one that was removed, nor of one that is known', () => {
    assert.deepEqual(versions(vm(1, {}, { plugin: null })), []);
    const [write] = writesOfPlugins([vm(1)], NOTHING);
    const plugins = write?.table === 'plugins' && write.value !== null ? [write.value] : [];
    assert.equal(plugins.length, 1);
    assert.deepEqual(writesOfPlugins([vm(2)], { plugins }), []);
  });
});

suite('deployments', () => {
  const replica = (id: number, index: number, revision: number, configVersion = 1) =>
    vm(id, { configVersion, replica: { deployment: 'web', index, revision } });

  test('have the config of the newest revision, of a replica whose own was not changed', () => {
    const vms = [replica(3, 1, 1), replica(5, 2, 2, 4), replica(6, 3, 2), vm(7)];
    const [write, ...others] = writesOfDeployments(vms, NOTHING, 99);
    assert.deepEqual(others, []);
    assert.deepEqual(write, {
      table: 'deployments',
      key: 'web',
      value: {
        name: 'web',
        status: 'active',
        desiredReplicas: 3,
        maxUnavailable: 1,
        config: vms[2]?.description.config,
        revision: 2,
        createdAtMs: 3,
        updatedAtMs: 99,
        isRebuilt: true,
      },
    });
  });

  test('that are known are left as they are', () => {
    const [write] = writesOfDeployments([replica(1, 1, 1)], NOTHING, 1);
    const known = write?.table === 'deployments' && write.value !== null ? [write.value] : [];
    assert.deepEqual(writesOfDeployments([replica(2, 2, 1)], { deployments: known }, 1), []);
  });
});

suite('devices', () => {
  test('are of the hypervisor that holds them, whatever the records say', () => {
    const held = vm(4, {}, { devices: [device('a', 4), device('b', 4)] });
    const writes = writesOfDevices([held], { devices: [device('a', 4), device('b', 2)] });
    const value = { ...device('b', 4), state: 'bound' };
    assert.deepEqual(writes, [{ table: 'devices', key: 'b', value }]);
  });

  test('of a hypervisor that has ended are nobody’s', () => {
    const ended = { ...vm(4, {}, { devices: [device('a', 4)] }), process: null };
    assert.deepEqual(writesOfDevices([ended, vm(5)], NOTHING), []);
  });
});
