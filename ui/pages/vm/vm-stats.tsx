// ui, pages: what a VM uses, over the last minutes, as the kernel and the hypervisor count it.

import type { Vm } from '../../../src/schema/vm.ts';
import { bytes, bytesPerSecond, percent } from '../../base/amounts.ts';
import { isUnknownRoute, rates, type Sample, useSamples } from '../../data/samples.ts';
import { readVmStats, type VmStats } from '../../data/stats.ts';
import { Plot } from '../../parts/plot.tsx';
import { Empty, Failure, Loading } from '../../parts/states.tsx';

export function VmStatistics({ vm: { name } }: { readonly vm: Vm }) {
  const { samples, error } = useSamples(name, (signal) => readVmStats(name, signal));
  if (isUnknownRoute(error)) return <Empty title="This daemon has no statistics" />;
  const latest = samples.at(-1)?.value;
  if (error !== null && latest === undefined) {
    return <Failure what="The statistics" error={error} />;
  }
  if (latest === undefined) return <Loading what="the statistics" />;
  if (!latest.running) return <Empty title="The VM does not run, so it uses nothing" />;
  const missing = Object.entries(latest.missing);
  return (
    <>
      {error !== null && <p class="notice">The latest reading failed: {error.message}</p>}
      <Plots samples={samples} />
      {missing.length > 0 && (
        <ul class="dim">
          {missing.map(([member, reason]) => (
            <li key={member}>
              <span class="mono">{member}</span>: {reason}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

const secondsOf = ({ sampled_at }: VmStats): number | null =>
  sampled_at === null ? null : Date.parse(sampled_at) / 1_000;

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

function Plots({ samples }: { readonly samples: readonly Sample<VmStats>[] }) {
  const timesMs = samples.map(({ atMs }) => atMs);
  const rate = (counterOf: (stats: VmStats) => number | null) =>
    rates(samples, secondsOf, counterOf);
  const level = (levelOf: (stats: VmStats) => number | null) =>
    samples.map(({ value }) => levelOf(value));
  const cpu = rate(({ cpu }) => (cpu === null ? null : cpu.user_seconds + cpu.system_seconds));
  const share = cpu.map((seconds) => (seconds === null ? null : 100 * seconds));
  const disks = (key: 'read_bytes' | 'written_bytes') =>
    rate((stats) => (stats.disks === null ? null : sum(stats.disks.map((disk) => disk[key]))));
  return (
    <div class="plots">
      <Plot
        title="CPU, of one core"
        timesMs={timesMs}
        format={percent}
        series={[{ label: 'used', values: share }]}
      />
      <Plot
        title="Memory"
        timesMs={timesMs}
        format={bytes}
        isBinary
        series={[
          { label: 'resident', values: level(({ memory }) => memory?.resident_bytes ?? null) },
          { label: 'guest', values: level(({ memory }) => memory?.guest_bytes ?? null) },
        ]}
      />
      <Plot
        title="Network"
        timesMs={timesMs}
        format={bytesPerSecond}
        isBinary
        series={[
          { label: 'received', values: rate(({ network }) => network?.received_bytes ?? null) },
          { label: 'sent', values: rate(({ network }) => network?.sent_bytes ?? null) },
        ]}
      />
      <Plot
        title="Disks"
        timesMs={timesMs}
        format={bytesPerSecond}
        isBinary
        series={[
          { label: 'read', values: disks('read_bytes') },
          { label: 'written', values: disks('written_bytes') },
        ]}
      />
    </div>
  );
}
