// load, run: which figures of the daemon a run looks at, and where each is found.

import type { SystemInfo, SystemStatus } from '../../client/types.ts';
import type { DaemonFigure } from '../report/run-report.ts';
import { type MetricSample, sumOf } from './prometheus.ts';

/** What one look brought; undefined: it could not be had. */
export interface DaemonReading {
  readonly status: SystemStatus | undefined;
  readonly info: SystemInfo | undefined;
  readonly metrics: readonly MetricSample[] | undefined;
}

export type FigureSource = keyof DaemonReading;

export interface WantedFigure extends Omit<DaemonFigure, 'missing'> {
  readonly of: FigureSource;
  /** undefined: what was read does not have it. */
  readonly read: (reading: DaemonReading) => number | undefined;
}

function status(
  name: string,
  member: string,
  description: string,
  read: (status: SystemStatus) => number | undefined,
): WantedFigure {
  return {
    name,
    description,
    kind: 'gauge',
    source: `/api/v1/system/status ${member}`,
    of: 'status',
    read: (reading) => reading.status && read(reading.status),
  };
}

function info(
  name: string,
  member: string,
  description: string,
  read: (info: SystemInfo) => number | undefined,
): WantedFigure {
  return {
    name,
    description,
    kind: 'gauge',
    source: `/api/v1/system/info ${member}`,
    of: 'info',
    read: (reading) => reading.info && read(reading.info),
  };
}

function metric(
  name: string,
  family: string,
  kind: DaemonFigure['kind'],
  description: string,
  labels: Readonly<Record<string, string>> = {},
): WantedFigure {
  const shown = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  return {
    name,
    description,
    kind,
    source: `/metrics ${family}${shown.length === 0 ? '' : `{${shown.join(',')}}`}`,
    of: 'metrics',
    read: ({ metrics }) => metrics && sumOf(metrics, family, labels),
  };
}

export const WANTED_FIGURES: readonly WantedFigure[] = [
  status('vms_count', 'vm_count', 'VMs of the daemon', ({ vm_count }) => vm_count),
  status('host_cpu_percent', 'cpu_percent', 'CPU use of the host', (from) => from.cpu_percent),
  status('host_memory_percent', 'mem_percent', 'Memory in use', (from) => from.mem_percent),
  status(
    'vms_memory_mb',
    'budget.memory_used_mb',
    'Memory of the VMs that run or are to run',
    ({ budget }) => budget?.memory_used_mb,
  ),
  status('vcpus_count', 'budget.vcpus_used', 'Their vCPUs', ({ budget }) => budget?.vcpus_used),
  info('booting_count', 'boots.booting', 'Guests that boot', ({ boots }) => boots?.booting),
  info('boots_waiting_count', 'boots.waiting', 'Launches that wait', ({ boots }) => boots?.waiting),
  metric('queue_waiting_count', 'volant_queue_waiting', 'gauge', 'What waits in all queues'),
  metric('queue_running_count', 'volant_queue_running', 'gauge', 'What all queues let run'),
  metric('http_connections_count', 'volant_http_connections', 'gauge', 'Connections to the API'),
  metric('event_streams_count', 'volant_event_streams', 'gauge', 'Open event streams'),
  metric('http_requests_count', 'volant_http_requests', 'counter', 'Requests of the API'),
  metric('commits_waiting_count', 'volant_store_commits_waiting', 'gauge', 'Commits that wait'),
  metric(
    'event_loop_delay_seconds',
    'volant_event_loop_delay_seconds',
    'gauge',
    'By how much its main thread was late (p99 of ten seconds)',
    { stat: 'p99' },
  ),
  metric('process_memory_bytes', 'process_resident_memory_bytes', 'gauge', 'Memory of the daemon'),
  metric('process_cpu_seconds', 'process_cpu_seconds', 'counter', 'CPU time of the daemon'),
];
