// ui, pages: the load of the host and the daemon over the last minutes. A daemon without these figures has two shares at least.

import { bytes, milliseconds, percent } from '../../base/amounts.ts';
import { api } from '../../data/api.ts';
import { isUnknownRoute, rates, type Sample, useSamples } from '../../data/samples.ts';
import { type Queue, readSystemLoad, type SystemLoad } from '../../data/stats.ts';
import { Plot } from '../../parts/plot.tsx';
import { Loading } from '../../parts/states.tsx';

export function Load() {
  const { samples, error } = useSamples('load', readSystemLoad);
  if (isUnknownRoute(error)) return <Shares />;
  if (samples.length === 0 && error === null) return <Loading what="the load" />;
  return (
    <>
      {error !== null && <p class="notice">The load cannot be read: {error.message}</p>}
      {samples.length > 0 && <Plots samples={samples} />}
      <Queues queues={samples.at(-1)?.value.queues ?? []} />
    </>
  );
}

const secondsOf = ({ sampled_at }: SystemLoad): number => Date.parse(sampled_at) / 1_000;

function Plots({ samples }: { readonly samples: readonly Sample<SystemLoad>[] }) {
  const timesMs = samples.map(({ atMs }) => atMs);
  const level = (of: (load: SystemLoad) => number) => samples.map(({ value }) => of(value));
  const share = (of: (load: SystemLoad) => number, coresOf: (load: SystemLoad) => number) =>
    rates(samples, secondsOf, of).map((seconds, index) => {
      const sample = samples[index];
      return seconds === null || sample === undefined
        ? null
        : (100 * seconds) / coresOf(sample.value);
    });
  const hostCores = ({ cpu }: SystemLoad) => cpu.cores;
  const delay = (key: 'mean' | 'p99' | 'max') =>
    level(({ daemon }) => daemon.event_loop_delay_ms[key]);
  return (
    <div class="plots">
      <Plot
        title="CPU of the host"
        timesMs={timesMs}
        format={percent}
        series={[
          {
            label: 'used',
            values: share(({ cpu }) => cpu.user_seconds + cpu.system_seconds, hostCores),
          },
          { label: 'waits for disks', values: share(({ cpu }) => cpu.iowait_seconds, hostCores) },
        ]}
      />
      <Plot
        title="Memory of the host"
        timesMs={timesMs}
        format={bytes}
        isBinary
        series={[
          {
            label: 'used',
            values: level(({ memory }) => memory.total_bytes - memory.available_bytes),
          },
          { label: 'all', values: level(({ memory }) => memory.total_bytes) },
        ]}
      />
      <Plot
        title="Event-loop delay"
        timesMs={timesMs}
        format={milliseconds}
        series={[
          { label: 'mean', values: delay('mean') },
          { label: '99 %', values: delay('p99') },
          { label: 'longest', values: delay('max') },
        ]}
      />
      <Plot
        title="CPU of the daemon, of one core"
        timesMs={timesMs}
        format={percent}
        series={[
          {
            label: 'used',
            values: share(
              ({ daemon }) => daemon.user_seconds + daemon.system_seconds,
              () => 1,
            ),
          },
        ]}
      />
      <Plot
        title="Queues"
        timesMs={timesMs}
        format={String}
        series={[
          { label: 'wait', values: level(({ queues }) => total(queues, 'waiting')) },
          { label: 'run', values: level(({ queues }) => total(queues, 'running')) },
        ]}
      />
    </div>
  );
}

const total = (queues: readonly Queue[], key: 'waiting' | 'running') =>
  queues.reduce((sum, queue) => sum + queue[key], 0);

function Queues({ queues }: { readonly queues: readonly Queue[] }) {
  if (queues.length === 0) return null;
  return (
    <>
      <h2>Queues</h2>
      <div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Queue</th>
              <th scope="col" class="end">
                In use
              </th>
              <th scope="col" class="end">
                Waiting
              </th>
            </tr>
          </thead>
          <tbody>
            {queues.map(({ name, running, capacity, waiting, waiting_max }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="end">
                  {running} of {capacity}
                </td>
                <td class="end">
                  {waiting}
                  {waiting_max === null ? '' : ` of ${waiting_max}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Shares() {
  const { samples, error } = useSamples('status', (signal) => api().system.status({ signal }));
  const timesMs = samples.map(({ atMs }) => atMs);
  return (
    <>
      <p class="dim">
        This daemon has no statistics of its queues and its event loop.
        {error === null ? '' : ` Its status cannot be read: ${error.message}`}
      </p>
      <div class="plots">
        <Plot
          title="CPU of the host"
          timesMs={timesMs}
          format={percent}
          series={[{ label: 'used', values: samples.map(({ value }) => value.cpu_percent) }]}
        />
        <Plot
          title="Memory of the host"
          timesMs={timesMs}
          format={percent}
          series={[{ label: 'used', values: samples.map(({ value }) => value.mem_percent) }]}
        />
      </div>
    </>
  );
}
