// engine, stats: a reading of the host as metrics. Pure.

import { counter, type Family, gauge } from '../../lib/metrics/family.ts';
import type { HostReading } from '../ports/stats-ports.ts';

export function hostFamilies(reading: HostReading): readonly Family[] {
  const [oneMinute, fiveMinutes, fifteenMinutes] = reading.loadAverages;
  return [
    counter(
      {
        name: 'volant_host_cpu_seconds',
        help: 'Time of all processors of the host since its boot, by mode',
        labels: ['mode'],
      },
      [
        [['user'], reading.userSeconds],
        [['system'], reading.systemSeconds],
        [['idle'], reading.idleSeconds],
        [['iowait'], reading.iowaitSeconds],
        [['steal'], reading.stealSeconds],
      ],
    ),
    gauge(
      { name: 'volant_host_memory_total_bytes', help: 'Memory of the host' },
      reading.memoryTotalBytes,
    ),
    gauge(
      {
        name: 'volant_host_memory_available_bytes',
        help: 'Memory of the host that programs can have without swapping',
      },
      reading.memoryAvailableBytes,
    ),
    gauge(
      {
        name: 'volant_host_load_average',
        help: 'Tasks that run or wait on the host, averaged by the kernel',
        labels: ['minutes'],
      },
      [
        [['1'], oneMinute],
        [['5'], fiveMinutes],
        [['15'], fifteenMinutes],
      ],
    ),
  ];
}
