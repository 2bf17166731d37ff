// engine, stats: implements StatsApi: figures of VMs, of the host and of the daemon, and all of them as metrics.

import { LIMITS, type Limits } from '../../config/limits.ts';
import { type Clock, toTimestamp } from '../../lib/clock.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { LoopDelay } from '../../lib/log/loop-monitor.ts';
import { counter, type Family, gauge } from '../../lib/metrics/family.ts';
import { Counter } from '../../lib/metrics/instruments.ts';
import type { Queue, SystemLoad, VmStats } from '../../schema/stats.ts';
import type { EgressApi } from '../engine-api.ts';
import type { SystemHost } from '../ports/host-ports.ts';
import type { HostReading, StatsHost } from '../ports/stats-ports.ts';
import type { State } from '../state/state.ts';
import type { StatsApi, VmStatsPage, VmStatsQuery } from '../stats-api.ts';
import { type EngineParts, engineFamilies, healthFamilies, queuesOf } from './engine-families.ts';
import { hostFamilies } from './host-families.ts';
import { SharedReading } from './shared-reading.ts';
import { VmSampler, type VmSamplerParts } from './vm-sampler.ts';
import { type EgressCounts, VmSeries } from './vm-series.ts';
import { notRunning, statsOf } from './vm-stats.ts';

/** What is known of the event loop of the main thread. */
export interface LoopFacts {
  delay(): LoopDelay;
  stalls(): number;
}

export interface StatsParts extends EngineParts, Omit<VmSamplerParts, 'state' | 'host'> {
  readonly state: State;
  readonly host: StatsHost;
  readonly hostSize: SystemHost['size'];
  readonly egress: Pick<EgressApi, 'counts'>;
  readonly loop: LoopFacts;
  readonly limits: Pick<Limits, 'statsKeepMs' | 'statsQueriesAllMs' | 'metricsReadTimeoutMs'>;
  /** VMs with series of their own. */
  readonly metricsVmsMax: number;
  readonly clock: Clock;
  readonly log: Logger;
}

const READINGS = ['vms', 'egress', 'host'] as const;

type Reading = (typeof READINGS)[number];

/** Creates it for the parts of an engine. */
export function createStats({
  host,
  config,
  ...parts
}: Omit<StatsParts, 'host' | 'hostSize' | 'metricsVmsMax'> & {
  readonly host: { readonly stats: StatsHost; readonly system: Pick<SystemHost, 'size'> };
  readonly config: { readonly metricsVmsMax: number };
}): StatsApi {
  const hostSize = () => host.system.size();
  const { metricsVmsMax } = config;
  return new Stats({ ...parts, host: host.stats, hostSize, metricsVmsMax });
}

const NO_COUNTS: EgressCounts = new Map();

class Stats implements StatsApi {
  readonly #parts: StatsParts;
  readonly #sampler: VmSampler;
  readonly #series: VmSeries;
  readonly #failures = new Counter({
    name: 'volant_readings_failed',
    help: 'Readings of figures for metrics that failed or took too long, by what was read',
    labels: ['reading'],
  });
  readonly #host: SharedReading<HostReading>;
  readonly #egress: SharedReading<EgressCounts>;

  constructor(parts: StatsParts) {
    const { host, egress, clock, limits } = parts;
    this.#parts = parts;
    this.#sampler = new VmSampler(parts);
    this.#series = new VmSeries(parts.metricsVmsMax);
    this.#host = new SharedReading(clock, limits.statsKeepMs, () => host.readHost());
    this.#egress = new SharedReading(clock, limits.statsKeepMs, () => egress.counts());
    for (const reading of READINGS) this.#failures.of(reading);
  }

  async vm(name: string): Promise<VmStats> {
    const { id } = this.#parts.state.require(name);
    const sample = await this.#sampler.one(id);
    return sample === null ? notRunning(name) : statsOf(sample.vm, sample.readAtMs);
  }

  async list({ namePrefix, limit, offset }: VmStatsQuery): Promise<VmStatsPage> {
    const { readAtMs, vms } = await this.#sampler.all();
    const matching =
      namePrefix === '' ? vms : vms.filter(({ record }) => record.name.startsWith(namePrefix));
    const page = matching.slice(offset, offset + limit);
    return { total: matching.length, stats: page.map((vm) => statsOf(vm, readAtMs)) };
  }

  async load(): Promise<SystemLoad> {
    const { loop, hostSize } = this.#parts;
    const host = await this.#host.get();
    const [oneMinute, fiveMinutes, fifteenMinutes] = host.loadAverages;
    const { user, system } = process.cpuUsage();
    const { meanMs, p99Ms, maxMs } = loop.delay();
    return {
      sampled_at: toTimestamp(host.readAtMs),
      cpu: {
        cores: hostSize().cpuCores,
        user_seconds: host.userSeconds,
        system_seconds: host.systemSeconds,
        idle_seconds: host.idleSeconds,
        iowait_seconds: host.iowaitSeconds,
        steal_seconds: host.stealSeconds,
      },
      memory: {
        total_bytes: host.memoryTotalBytes,
        available_bytes: host.memoryAvailableBytes,
        swap_total_bytes: host.swapTotalBytes,
        swap_free_bytes: host.swapFreeBytes,
      },
      load_average: {
        one_minute: oneMinute,
        five_minutes: fiveMinutes,
        fifteen_minutes: fifteenMinutes,
      },
      daemon: {
        uptime_seconds: process.uptime(),
        user_seconds: user / 1e6,
        system_seconds: system / 1e6,
        resident_bytes: process.memoryUsage.rss(),
        heap_bytes: process.memoryUsage().heapUsed,
        event_loop_delay_ms: { mean: meanMs, p99: p99Ms, max: maxMs },
      },
      queues: [...this.queues()],
    };
  }

  queues(): readonly Queue[] {
    return queuesOf(this.#parts);
  }

  async families(): Promise<readonly Family[]> {
    const [sample, egress, host, health] = await Promise.all([
      this.#orNull('vms', this.#sampler.all()),
      this.#orNull('egress', this.#egress.get()),
      this.#orNull('host', this.#host.get()),
      healthFamilies(this.#parts),
    ]);
    const { loop } = this.#parts;
    const { meanMs, p99Ms, maxMs } = loop.delay();
    const vms = sample === null ? [] : this.#series.families(sample, egress ?? NO_COUNTS);
    return [
      ...engineFamilies(this.#parts),
      ...health,
      gauge(
        {
          name: 'volant_event_loop_delay_seconds',
          help: 'By how much the main thread was late in the last ten seconds',
          labels: ['stat'],
        },
        [
          [['mean'], meanMs / 1000],
          [['p99'], p99Ms / 1000],
          [['max'], maxMs / 1000],
        ],
      ),
      counter(
        {
          name: 'volant_event_loop_stalls',
          help: `Seconds in which the main thread was late by more than ${LIMITS.loopStallMs} ms`,
        },
        loop.stalls(),
      ),
      ...this.#parts.host.families(),
      ...(host === null ? [] : hostFamilies(host)),
      this.#failures,
      gauge(
        {
          name: 'volant_vms_without_series',
          help: 'Running VMs beyond VOLANT_METRICS_VMS_MAX, whose figures are summed as vm="_other"',
        },
        sample === null ? null : this.#series.others,
      ),
      ...vms,
    ];
  }

  /** Metrics are needed most when something hangs, so what cannot be read is left out. */
  async #orNull<T>(reading: Reading, work: Promise<T>): Promise<T | null> {
    try {
      const result = await within(work, this.#parts.limits.metricsReadTimeoutMs);
      if (result !== undefined) return result;
      throw new VolantError('HOST_TIMEOUT', 'The reading takes too long');
    } catch (error) {
      this.#failures.of(reading).value += 1;
      this.#parts.log.debug({ reading, err: error }, 'figures could not be read');
      return null;
    }
  }
}
