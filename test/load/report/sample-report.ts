// test, load: a report with something in every part, and texts that could break a format.

import { GENERATOR_LIMITS } from '../../../src/load/load-limits.ts';
import type {
  LatencySummary,
  OperationReport,
  RunReport,
} from '../../../src/load/report/run-report.ts';

export const HOSTILE = `<script>alert("x")</script> & 'y', \u0001 "`;

export function latency(p50Ms: number, count = 100): LatencySummary {
  return {
    count,
    minMs: p50Ms / 2,
    meanMs: p50Ms,
    p50Ms,
    p90Ms: p50Ms * 2,
    p99Ms: p50Ms * 4,
    p999Ms: p50Ms * 5,
    maxMs: p50Ms * 6,
  };
}

export function operation(name: string, more: Partial<OperationReport> = {}): OperationReport {
  return {
    name,
    kind: 'step',
    count: 104,
    succeeded: 100,
    refusals: { total: 1, byCode: { QUEUE_FULL: 1 } },
    errors: { total: 3, byCode: { TIMEOUT: 1, [HOSTILE]: 2 } },
    skipped: { total: 2, byCode: { IN_FLIGHT: 2 } },
    ratePerSecond: 10,
    latency: latency(20),
    ...more,
  };
}

export function report(more: Partial<RunReport> = {}): RunReport {
  const operations = [operation('create'), operation('delete', { latency: latency(1500) })];
  const total = operation('total', { kind: 'total', count: 208, succeeded: 200 });
  const sample = {
    phase: 'one',
    started: 10,
    done: 9,
    succeeded: 8,
    errors: 1,
    refusals: 0,
    skipped: 0,
    inFlight: 3,
    latency: latency(20, 8),
    lateMsMax: 1,
  };
  return {
    format: 1,
    run: {
      label: 'abc',
      scenario: { name: HOSTILE, description: HOSTILE, file: 'x.yaml', sha256: 'f'.repeat(64) },
      url: 'http://127.0.0.1:7777',
      startedAt: '2026-01-01T00:00:00.000Z',
      durationMs: 2500,
      processes: 1,
      seed: 7,
      serverVersion: '0.1.0',
      version: '0.1.0',
    },
    verdict: 'failed',
    reasons: [HOSTILE],
    phases: [
      {
        name: 'one',
        kind: 'constant',
        model: 'open',
        startMs: 0,
        durationMs: 2000,
        plan: [],
        operations,
        total,
        drift: null,
      },
    ],
    operations,
    total,
    thresholds: [
      {
        condition: 'create.p99 < 50ms',
        abort: false,
        held: false,
        value: 80,
        bound: 50,
        unit: 'ms',
      },
      { condition: 'rate > 5', abort: false, held: true, value: 10, bound: 5, unit: 'per_second' },
    ],
    samples: [
      { atMs: 0, ...sample, daemon: { vms_count: 3, creates_total: 5 } },
      { atMs: 1000, ...sample, latency: latency(30), daemon: {} },
      { atMs: 2000, ...sample, phase: null, daemon: { vms_count: 4, creates_total: 25 } },
    ],
    sampleIntervalMs: 1000,
    daemonFigures: [
      { name: 'vms_count', description: 'VMs', kind: 'gauge', source: '/metrics x', missing: null },
      {
        name: 'creates_total',
        description: 'Creates',
        kind: 'counter',
        source: '/metrics y',
        missing: null,
      },
      {
        name: 'loop_ms',
        description: 'Loop',
        kind: 'gauge',
        source: '/metrics z',
        missing: 'it is not there',
      },
    ],
    generator: {
      processes: [
        {
          index: 0,
          pid: 4711,
          loopDelayP99Ms: 4,
          loopDelayMaxMs: 90,
          stalledMs: 40,
          measuredMs: 10_000,
          cpuShareMean: 0.25,
          cpuShareMax: 0.5,
          wantedShareMax: null,
          starts: 104,
          lateStarts: 0,
          memoryBytesMax: 2 ** 26,
        },
      ],
      limits: GENERATOR_LIMITS,
      starts: 104,
      lateStarts: 0,
      lateMsMax: 3,
      messages: [HOSTILE],
      rawLinesLost: 0,
    },
    knee: null,
    cleanup: {
      removedVms: 100,
      removedDeployments: 0,
      durationMs: 500,
      left: [{ kind: 'vm', name: 'load-abc-1', reason: HOSTILE }],
      leftTotal: 1,
      command: 'volant-load clean --label abc',
    },
    ...more,
  };
}
