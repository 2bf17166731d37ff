// engine, stats: which VMs have series of their own, and that the sum of the others is right for Prometheus: a counter of
// it must never fall.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FIGURE, FIGURES } from '../../../src/engine/ports/stats-ports.ts';
import type { Sample, VmSample } from '../../../src/engine/stats/vm-sampler.ts';
import { type EgressCounts, VmSeries } from '../../../src/engine/stats/vm-series.ts';
import { PROJECT_ROOT } from '../../helpers/capabilities.ts';
import { vmRecord } from '../../http/fake-engine.ts';

/** A VM that has used this much CPU time and memory; NaN is unknown. */
function vm(id: number, userSeconds: number, residentBytes = 10, startTimeTicks = 1): VmSample {
  const row = new Float64Array(FIGURES).fill(Number.NaN);
  row[FIGURE.userSeconds] = userSeconds;
  row[FIGURE.residentBytes] = residentBytes;
  const identity = { pid: 1000 + id, startTimeTicks, bootId: 'boot' };
  return { record: vmRecord(id, `vm-${id}`), identity, row, disks: [] };
}

const sampleOf = (...vms: VmSample[]): Sample => ({ readAtMs: 0, vms });

/** The values of a metric by VM; of one with several, those of mode user. */
function valuesOf(
  series: VmSeries,
  sample: Sample,
  name: string,
  egress: EgressCounts = new Map(),
): Record<string, number> {
  const family = series.families(sample, egress).find((one) => one.name === name);
  assert.ok(family, name);
  const samples = [...family.samples()].filter(([, labels]) => !labels.includes('mode="system"'));
  return Object.fromEntries(
    samples.map(([, labels, value]) => [/vm="([^"]*)"/.exec(labels)?.[1] ?? '', value]),
  );
}

const cpu = (series: VmSeries, sample: Sample) => valuesOf(series, sample, 'volant_vm_cpu_seconds');

test('VMs up to the bound have series of their own, and keep them while they run', () => {
  const series = new VmSeries(2);
  assert.deepEqual(cpu(series, sampleOf(vm(2, 1), vm(3, 2))), { 'vm-2': 1, 'vm-3': 2 });
  assert.equal(series.others, 0);
  const three = sampleOf(vm(1, 5), vm(2, 1), vm(3, 2));
  assert.deepEqual(cpu(series, three), { 'vm-2': 1, 'vm-3': 2, _other: 5 });
  assert.equal(series.others, 1);
  assert.deepEqual(cpu(series, sampleOf(vm(1, 6), vm(3, 2))), { 'vm-1': 6, 'vm-3': 2 });
  assert.equal(series.others, 0);
});

test('a counter of the others does not fall when one of them ends or begins again', () => {
  const series = new VmSeries(0);
  assert.deepEqual(cpu(series, sampleOf(vm(1, 100), vm(2, 10))), { _other: 110 });
  assert.deepEqual(cpu(series, sampleOf(vm(1, 103), vm(2, 14))), { _other: 117 });
  assert.deepEqual(cpu(series, sampleOf(vm(2, 15))), { _other: 118 }, 'one has ended');
  assert.deepEqual(cpu(series, sampleOf(vm(2, 2, 10, 9))), { _other: 120 }, 'launched again');
  assert.deepEqual(cpu(series, sampleOf()), {}, 'nothing is left to sum');
  assert.deepEqual(cpu(series, sampleOf(vm(3, 1))), { _other: 121 });
});

test('a reading that several ask for is added once', () => {
  const series = new VmSeries(0);
  const sample = sampleOf(vm(1, 7));
  assert.deepEqual(cpu(series, sample), { _other: 7 });
  assert.deepEqual(cpu(series, sample), { _other: 7 });
});

test('a figure that is missing for a moment is not counted twice', () => {
  const series = new VmSeries(0);
  cpu(series, sampleOf(vm(1, 50)));
  cpu(series, sampleOf(vm(1, Number.NaN)));
  assert.deepEqual(cpu(series, sampleOf(vm(1, 51))), { _other: 51 });
});

test('a gauge of the others is the sum of what is now, and unknown figures have no sample', () => {
  const series = new VmSeries(1);
  const resident = (sample: Sample) => valuesOf(series, sample, 'volant_vm_memory_resident_bytes');
  assert.deepEqual(resident(sampleOf(vm(1, 0, 1), vm(2, 0, 20), vm(3, 0, 30))), {
    'vm-1': 1,
    _other: 50,
  });
  const sample = sampleOf(vm(1, 0, Number.NaN), vm(2, 0, 20));
  assert.deepEqual(resident(sample), { _other: 20 });
  assert.deepEqual(valuesOf(series, sample, 'volant_vm_cgroup_memory_bytes'), {});
  assert.deepEqual(valuesOf(series, sample, 'volant_vm_network_sent_bytes'), {});
});

test('the disks of a VM are counted together, and unknown ones are not 0', () => {
  const series = new VmSeries(5);
  const disk = { readOperations: 1, writtenBytes: 2, writeOperations: 3, flushOperations: 4 };
  const sample = sampleOf(
    {
      ...vm(1, 0),
      disks: [
        { device: 'disk0', readBytes: 100, ...disk },
        { device: 'disk1', readBytes: 23, ...disk },
      ],
    },
    { ...vm(2, 0), disks: { missing: 'it does not answer' } },
    vm(3, 0),
  );
  const read = valuesOf(series, sample, 'volant_vm_disk_read_bytes');
  assert.deepEqual(read, { 'vm-1': 123, 'vm-3': 0 });
  assert.deepEqual(valuesOf(series, sample, 'volant_vm_disk_flushes'), { 'vm-1': 8, 'vm-3': 0 });
});

test('what egress rules refused is counted by VM and in the sum, and VMs without rules have no figure', () => {
  const series = new VmSeries(1);
  const refused = (packets: Readonly<Record<string, number>>, ...vms: VmSample[]) => {
    const counts = Object.entries(packets).map(
      ([name, refusedPackets]) =>
        [name, { refusedPackets, refusedBytes: 100 * refusedPackets }] as const,
    );
    const sample = sampleOf(...vms);
    const of = (name: string) => valuesOf(series, sample, name, new Map(counts));
    return [of('volant_vm_egress_refused_packets'), of('volant_vm_egress_refused_bytes')];
  };
  const all = [vm(1, 0), vm(2, 0), vm(3, 0), vm(4, 0)];
  assert.deepEqual(refused({ 'vm-1': 3, 'vm-2': 5, 'vm-3': 7 }, ...all), [
    { 'vm-1': 3, _other: 12 },
    { 'vm-1': 300, _other: 1200 },
  ]);
  assert.deepEqual(refused({ 'vm-1': 4, 'vm-3': 8 }, ...all), [
    { 'vm-1': 4, _other: 13 },
    { 'vm-1': 400, _other: 1300 },
  ]);
  // Without a reading of them the others keep what they have, and a VM of its own has no sample.
  assert.deepEqual(refused({}, ...all), [{ _other: 13 }, { _other: 1300 }]);
  assert.deepEqual(refused({ 'vm-3': 9, 'vm-4': 1 }, ...all.slice(0, 3)), [
    { _other: 14 },
    { _other: 1400 },
  ]);
});

test('a VM has no more series than the page of metrics says', () => {
  const series = new VmSeries(1);
  const disk = { device: 'disk0', readBytes: 1, readOperations: 1, writtenBytes: 1 };
  const known = {
    ...vm(1, 1),
    row: new Float64Array(FIGURES).fill(1),
    disks: [{ ...disk, writeOperations: 1, flushOperations: 1 }],
  };
  const egress = new Map([['vm-1', { refusedPackets: 1, refusedBytes: 1 }]]);
  const count = series
    .families(sampleOf(known), egress)
    .reduce((sum, family) => sum + [...family.samples()].length, 0);
  const page = readFileSync(join(PROJECT_ROOT, 'docs/metrics.md'), 'utf8');
  const [, most] = /Each running VM has up to (\d+) series/.exec(page) ?? [];
  assert.equal(count, Number(most));
});
