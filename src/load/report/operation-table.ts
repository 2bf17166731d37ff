// load, report: the table of operations, as cells. Text and page show the same one.

import type { OperationReport } from './run-report.ts';
import { durationText, rateText } from './words.ts';

export const OPERATION_HEAD: readonly string[] = [
  'operation',
  'count',
  'per second',
  'min',
  'mean',
  'p50',
  'p90',
  'p99',
  'p99.9',
  'max',
  'errors',
  'refused',
  'skipped',
];

/** `per second` and the latencies are of what succeeded. */
export function operationCells(report: OperationReport): readonly string[] {
  const { latency } = report;
  return [
    report.kind === 'flow' ? `${report.name} (whole)` : report.name,
    String(report.count),
    rateText(report.ratePerSecond),
    durationText(latency.minMs),
    durationText(latency.meanMs),
    durationText(latency.p50Ms),
    durationText(latency.p90Ms),
    durationText(latency.p99Ms),
    durationText(latency.p999Ms),
    durationText(latency.maxMs),
    String(report.errors.total),
    String(report.refusals.total),
    String(report.skipped.total),
  ];
}

/** The operations, and their sum where there is more than one. */
export function withTotal(
  operations: readonly OperationReport[],
  total: OperationReport,
): readonly OperationReport[] {
  return operations.length === 1 ? operations : [...operations, total];
}
