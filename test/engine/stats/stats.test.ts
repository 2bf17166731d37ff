// engine, stats: figures of VMs on a world that is pretended: one reading for many readers, what is null and why, and
// that metrics are there when something hangs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VolantError } from '../../../src/lib/errors.ts';
import { exposition } from '../../../src/lib/metrics/exposition.ts';
import type { Counted } from '../fake-stats.ts';
import { engineOn, newWorld } from '../fakes.ts';

const COUNTED: Counted = {
  uptimeSeconds: 5,
  userSeconds: 1.5,
  systemSeconds: 0.5,
  residentBytes: 4096,
  receivedBytes: 10,
  receivedPackets: 1,
  receivedDropped: 0,
  sentBytes: 20,
  sentPackets: 2,
  sentDropped: 0,
};

async function worldWith(
  t: { after(end: () => Promise<void>): void },
  names: readonly string[],
  limits = {},
) {
  const world = newWorld(limits);
  const control = await engineOn(world);
  t.after(() => control.shutdown());
  const { vms, stats } = control.engine;
  for (const name of names) {
    await vms.create({ name, plugin: 'hello' });
    world.host.stats.counted.set(pidOf(await vms.get(name)), COUNTED);
  }
  return { world, vms, stats };
}

const pidOf = (body: string | undefined) => JSON.parse(body ?? '{}').pid as number;

const query = { namePrefix: '', limit: 100, offset: 0 };

/** Each reading is a new one, unless one is under way. */
const NOTHING_KEPT = { statsKeepMs: 0 };

test('the figures of a VM, and what is null for a reason', async (t) => {
  const { stats } = await worldWith(t, ['one']);
  const { sampled_at, missing, ...figures } = await stats.vm('one');
  assert.match(sampled_at ?? '', /^1970-01-01T00:00:01/);
  assert.deepEqual(figures, {
    name: 'one',
    running: true,
    uptime_seconds: 5,
    cpu: { vcpus: 1, user_seconds: 1.5, system_seconds: 0.5 },
    memory: { guest_bytes: 128 * 2 ** 20, resident_bytes: 4096 },
    cgroup: null,
    network: {
      received_bytes: 10,
      received_packets: 1,
      received_dropped: 0,
      sent_bytes: 20,
      sent_packets: 2,
      sent_dropped: 0,
    },
    disks: [],
  });
  assert.match(missing['cgroup'] ?? '', /controllers/);
  assert.deepEqual(Object.keys(missing), ['cgroup']);
});

test('a VM that does not run has no figures, and one that is not there is not found', async (t) => {
  const { stats, vms } = await worldWith(t, ['one', 'two']);
  await vms.stop('one');
  const { running, missing, ...figures } = await stats.vm('one');
  assert.equal(running, false);
  assert.deepEqual(figures, {
    name: 'one',
    sampled_at: null,
    uptime_seconds: null,
    cpu: null,
    memory: null,
    cgroup: null,
    network: null,
    disks: null,
  });
  assert.equal(Object.keys(missing).length, 6);
  const { stats: listed, total } = await stats.list(query);
  assert.deepEqual([listed.map(({ name }) => name), total], [['two'], 1]);
  await assert.rejects(stats.vm('three'), { code: 'VM_NOT_FOUND' });
});

test('a process that ended meanwhile has no figures', async (t) => {
  const { stats, world } = await worldWith(t, ['one']);
  world.host.stats.counted.clear();
  const { running, cpu, network, missing } = await stats.vm('one');
  assert.deepEqual([running, cpu, network], [true, null, null]);
  assert.match(missing['cpu'] ?? '', /ended/);
});

test('readers of the same moment share one reading of all VMs', async (t) => {
  const { stats, world } = await worldWith(t, ['one', 'two', 'three']);
  const { asked } = world.host.stats;
  await Promise.all([stats.list(query), stats.list({ ...query, limit: 1 }), stats.families()]);
  await stats.list(query);
  await stats.vm('one');
  assert.deepEqual(
    asked.map((vms) => vms.length),
    [3],
  );
  const page = await stats.list({ ...query, limit: 1, offset: 1 });
  assert.deepEqual([page.stats.map(({ name }) => name), page.total], [['three'], 3]);
});

test('readers of one VM read that one only, once', async (t) => {
  const { stats, world } = await worldWith(t, ['one', 'two']);
  await Promise.all([stats.vm('one'), stats.vm('one'), stats.vm('two')]);
  assert.deepEqual(
    world.host.stats.asked.map((vms) => vms.length),
    [1, 1],
  );
});

test('a reading that hangs is shared, and metrics do not wait for it for long', async (t) => {
  const { stats, world } = await worldWith(t, ['one'], { metricsReadTimeoutMs: 20 });
  const hanging: (() => void)[] = [];
  world.host.stats.beforeReading = () =>
    new Promise((resolve) => {
      hanging.push(resolve);
    });
  const waiting = stats.list(query);
  const families = await stats.families();
  assert.ok(families.some(({ name }) => name === 'volant_vms'));
  assert.ok(!families.some(({ name }) => name === 'volant_vm_cpu_seconds'));
  assert.equal(world.host.stats.asked.length, 1);
  for (const letGo of hanging) letGo();
  assert.equal((await waiting).total, 1);
});

test('a reading that failed is not kept for the next reader', async (t) => {
  const { stats, world } = await worldWith(t, ['one']);
  world.host.stats.beforeReading = async () => {
    throw new VolantError('HOST_TIMEOUT', 'it hangs');
  };
  await assert.rejects(stats.list(query), { code: 'HOST_TIMEOUT' });
  await assert.rejects(stats.vm('one'), { code: 'HOST_TIMEOUT' });
  await assert.rejects(stats.load(), { code: 'HOST_TIMEOUT' });
  const text = [...exposition(await stats.families(), 'prometheus', 1000)].join('');
  assert.match(text, /^volant_readings_failed_total\{reading="vms"\} 1$/m);
  assert.match(text, /^volant_vms\{status="running"\} 1$/m, 'the rest of the metrics is there');
  assert.doesNotMatch(text, /volant_vm_cpu_seconds/);
  world.host.stats.beforeReading = async () => undefined;
  assert.equal((await stats.list(query)).total, 1);
  assert.equal((await stats.load()).cpu.user_seconds, 10);
});

test('a hypervisor without disks is asked once, one with disks each time', async (t) => {
  const { stats, world } = await worldWith(t, ['one'], NOTHING_KEPT);
  const { hypervisor } = world;
  await stats.list(query);
  await stats.list(query);
  assert.equal(hypervisor.disksAsked, 1);
  assert.equal(world.host.stats.asked.length, 2);
});

test('disks that a hypervisor does not report are unknown, and asked for again', async (t) => {
  const { stats, world } = await worldWith(t, ['one'], NOTHING_KEPT);
  const { hypervisor } = world;
  hypervisor.disks = async () => {
    throw new VolantError('HYPERVISOR_TIMEOUT', 'it is frozen');
  };
  const before = await stats.vm('one');
  assert.equal(before.disks, null);
  assert.match(before.missing['disks'] ?? '', /frozen/);
  const counted = { readBytes: 1, readOperations: 2, writtenBytes: 3, writeOperations: 4 };
  hypervisor.disks = async () => [{ device: 'disk0', ...counted, flushOperations: 5 }];
  const after = await stats.vm('one');
  assert.deepEqual(after.disks, [
    {
      device: 'disk0',
      read_bytes: 1,
      read_operations: 2,
      written_bytes: 3,
      write_operations: 4,
      flush_operations: 5,
    },
  ]);
});

test('what egress rules refused is read once for all who ask, and the rest is there without it', async (t) => {
  const { stats, vms, world } = await worldWith(t, ['free'], NOTHING_KEPT);
  const { host } = world;
  const text = async () => [...exposition(await stats.families(), 'prometheus', 1000)].join('');
  assert.doesNotMatch(await text(), /^volant_vm_egress/m, 'no VM has rules');
  assert.equal(host.egressCounted, 0);
  const config = { network: { egress: { default: 'deny' as const } } };
  await vms.create({ name: 'held', plugin: 'hello', config });
  world.host.stats.counted.set(pidOf(await vms.get('held')), COUNTED);
  const { ip_address: ipAddress } = JSON.parse((await vms.get('held')) ?? '{}');
  const passed = { ipAddress, packets: 5, bytes: 500 };
  host.egressCounts = [{ ...passed, refusedPackets: 2, refusedBytes: 168 }];
  const [first] = await Promise.all([text(), text()]);
  assert.match(first, /^volant_vm_egress_refused_packets_total\{vm="held"\} 2$/m);
  assert.match(first, /^volant_vm_egress_refused_bytes_total\{vm="held"\} 168$/m);
  assert.doesNotMatch(first, /^volant_vm_egress.*"free"/m);
  assert.equal(host.egressCounted, 1);
  host.failures.set('countEgress', new VolantError('HOST_OPERATION_FAILED', 'nft is broken'));
  const without = await text();
  assert.match(without, /^volant_readings_failed_total\{reading="egress"\} 1$/m);
  assert.match(without, /^volant_vm_cpu_seconds_total\{vm="held",mode="user"\} 1.5$/m);
  assert.doesNotMatch(without, /^volant_vm_egress/m);
  host.failures.clear();
  assert.match(await text(), /^volant_vm_egress_refused_packets_total\{vm="held"\} 2$/m);
});

test('operations and their steps are counted by kind and outcome', async (t) => {
  const { stats, vms, world } = await worldWith(t, ['one']);
  await vms.stop('one');
  await vms.destroy('one');
  world.hypervisor.beforeConnect = async () => {
    throw new VolantError('HYPERVISOR_FAILED', 'it does not start');
  };
  await assert.rejects(vms.create({ name: 'two', plugin: 'hello' }));
  const text = [...exposition(await stats.families(), 'prometheus', 1000)].join('');
  assert.match(text, /^volant_operations_total\{kind="create",outcome="done"\} 1$/m);
  assert.match(text, /^volant_operations_total\{kind="create",outcome="failed"\} 1$/m);
  assert.match(text, /^volant_operations_total\{kind="stop",outcome="done"\} 1$/m);
  assert.match(text, /^volant_operations_total\{kind="delete",outcome="done"\} 1$/m);
  assert.match(text, /^volant_step_duration_seconds_count\{step="launch"\} 2$/m);
  assert.match(text, /^volant_step_failures_total\{step="launch"\} 1$/m);
  assert.match(text, /^volant_healthy 1$/m);
});
