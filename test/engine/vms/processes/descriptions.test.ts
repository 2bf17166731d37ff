// VMs are described some seconds after their launch, many at a time, and again after that went wrong.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { LIMITS } from '../../../../src/config/limits.ts';
import type { ConfigRecord, VmDescription, VmRecord } from '../../../../src/engine/records.ts';
import { Descriptions } from '../../../../src/engine/vms/processes/descriptions.ts';
import { vmRecord } from '../../../store/vm-record.ts';
import { silentLog } from '../../fakes.ts';

function fixture(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const records = new Map<number, VmRecord>();
  const jobs: number[][] = [];
  const host = { isBroken: false };
  const descriptions = new Descriptions({
    state: {
      find: (id: number) => records.get(id),
      store: { config: (vmId: number) => ({ vmId, config: {} }) as ConfigRecord },
    },
    host: {
      describeVms: async (given: readonly VmDescription[]) => {
        if (host.isBroken) throw new Error('the disk is full');
        jobs.push(given.map(({ record }) => record.id));
      },
    },
    describe: (record, config) => ({ record, config }),
    log: silentLog,
  });
  const schedule = (id: number) => {
    records.set(id, vmRecord(id));
    descriptions.schedule(id);
  };
  const after = async (ms: number) => {
    t.mock.timers.tick(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { records, jobs, host, descriptions, schedule, after };
}

suite('descriptions of VMs', () => {
  test('are written together, a bounded number in a job, and once for many launches', async (t) => {
    const { jobs, schedule, after } = fixture(t);
    for (let id = 1; id <= LIMITS.descriptionsPerJobMax + 1; id += 1) schedule(id);
    schedule(1);
    await after(LIMITS.descriptionWriteMs - 1);
    assert.deepEqual(jobs, []);
    await after(1);
    assert.deepEqual(
      jobs.map(({ length }) => length),
      [LIMITS.descriptionsPerJobMax, 1],
    );
    await after(LIMITS.descriptionRetryMs);
    assert.equal(jobs.length, 2);
  });

  test('a VM that is gone, or on its way, is not described', async (t) => {
    const { records, jobs, schedule, after } = fixture(t);
    for (const id of [1, 2, 3]) schedule(id);
    records.delete(1);
    const { wanted, ...third } = vmRecord(3);
    records.set(3, { ...third, wanted: { ...wanted, state: 'deleted' } });
    await after(LIMITS.descriptionWriteMs);
    assert.deepEqual(jobs, [[2]]);
  });

  test('what went wrong is tried again later, with what came meanwhile', async (t) => {
    const { jobs, host, schedule, after } = fixture(t);
    host.isBroken = true;
    schedule(1);
    await after(LIMITS.descriptionWriteMs);
    host.isBroken = false;
    schedule(2);
    await after(LIMITS.descriptionRetryMs);
    assert.deepEqual(jobs, [[1, 2]]);
  });

  test('the end of the daemon does not wait for its time', async (t) => {
    const { jobs, schedule, descriptions } = fixture(t);
    schedule(1);
    await descriptions.close();
    assert.deepEqual(jobs, [[1]]);
  });
});
