// host: what VMs leave behind is removed by few jobs, and a failure is told to who asked for what failed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../src/config/limits.ts';
import type { HostSettings, JobArgument, Run } from '../../src/host/jobs/protocol.ts';
import { Batch } from '../../src/host/network/batch.ts';
import { Removals } from '../../src/host/removals.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { failure, success } from '../../src/lib/outcome.ts';

function createRemovals(outcomeOf: (kind: string) => 'gone' | 'stays' | 'no thread') {
  const jobs: string[][] = [];
  const run = (async (_name: string, { remains }: JobArgument<'removeRemains'>) => {
    jobs.push(remains.map(({ kind }) => kind));
    return remains.map(({ kind }) => {
      if (outcomeOf(kind) === 'no thread') throw new VolantError('OVERLOADED');
      return outcomeOf(kind) === 'gone'
        ? success(null)
        : failure({ code: 'HOST_OPERATION_FAILED', message: `${kind} stays` });
    });
  }) as unknown as Run;
  return { jobs, removals: new Removals({} as HostSettings, run) };
}

test('removals of one moment are one job, and those of the next another', async () => {
  const { jobs, removals } = createRemovals(() => 'gone');
  await Promise.all([
    removals.remove({ kind: 'cgroup', name: 'vm-1' }),
    removals.remove({ kind: 'run-directory', vmId: 1 }),
    removals.remove({ kind: 'disks', vmId: 1 }),
  ]);
  await removals.remove({ kind: 'disks', vmId: 2 });
  assert.deepEqual(jobs, [['cgroup', 'run-directory', 'disks'], ['disks']]);
});

test('many removals of one moment are several jobs, so that none takes too long', async () => {
  const { jobs, removals } = createRemovals(() => 'gone');
  const count = 2 * LIMITS.removalsPerJobMax + 1;
  await Promise.all(
    Array.from({ length: count }, (_, vmId) => removals.remove({ kind: 'disks', vmId })),
  );
  assert.deepEqual(
    jobs.map(({ length }) => length),
    [LIMITS.removalsPerJobMax, LIMITS.removalsPerJobMax, 1],
  );
});

test('of removals that share a job only the one that failed is rejected', async () => {
  const { removals } = createRemovals((kind) => (kind === 'cgroup' ? 'stays' : 'gone'));
  const results = await Promise.allSettled([
    removals.remove({ kind: 'cgroup', name: 'vm-1' }),
    removals.remove({ kind: 'run-directory', vmId: 1 }),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'fulfilled'],
  );
  await assert.rejects(removals.remove({ kind: 'cgroup', name: 'vm-1' }), {
    code: 'HOST_OPERATION_FAILED',
  });
});

test('removals whose job could not be run are all rejected', async () => {
  const { removals } = createRemovals(() => 'no thread');
  const rejected = { code: 'OVERLOADED' };
  await Promise.all([
    assert.rejects(removals.remove({ kind: 'disks', vmId: 1 }), rejected),
    assert.rejects(removals.remove({ kind: 'disks', vmId: 2 }), rejected),
  ]);
});

test('a batch is answered before its rest, and the next one waits for that', async () => {
  const batches: number[][] = [];
  let endRest: () => void = () => undefined;
  const batch = new Batch<number>(
    async (items) => batches.push([...items]),
    () =>
      new Promise<void>((resolve) => {
        endRest = resolve;
      }),
  );
  await batch.add(1);
  const later = Promise.all([batch.add(2), batch.add(3)]);
  assert.deepEqual(batches, [[1]]);
  endRest();
  await later;
  assert.deepEqual(batches, [[1], [2, 3]]);
});
