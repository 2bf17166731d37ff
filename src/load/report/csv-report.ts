// load, report: a run as CSV (RFC 4180): one table of operations and one of samples. Columns keep their order; new ones come
// last.

import type { OperationReport, RunReport } from './run-report.ts';

const OPERATION_COLUMNS: readonly string[] = [
  'phase',
  'operation',
  'kind',
  'count',
  'succeeded',
  'errors',
  'refusals',
  'skipped',
  'rate_per_second',
  'min_ms',
  'mean_ms',
  'p50_ms',
  'p90_ms',
  'p99_ms',
  'p999_ms',
  'max_ms',
];

/** A row for each operation of each phase, and those of the whole run with an empty phase. */
export function operationsCsv({ phases, operations, total }: RunReport): string {
  const rows = [
    ...phases.flatMap((phase) =>
      [...phase.operations, phase.total].map((one) => operationRow(phase.name, one)),
    ),
    ...[...operations, total].map((one) => operationRow('', one)),
  ];
  return csv([OPERATION_COLUMNS, ...rows]);
}

function operationRow(phase: string, report: OperationReport): readonly Cell[] {
  const { name, kind, count, succeeded, errors, refusals, skipped, latency } = report;
  return [
    phase,
    name,
    kind,
    count,
    succeeded,
    errors.total,
    refusals.total,
    skipped.total,
    report.ratePerSecond,
    latency.minMs,
    latency.meanMs,
    latency.p50Ms,
    latency.p90Ms,
    latency.p99Ms,
    latency.p999Ms,
    latency.maxMs,
  ];
}

/** A row for each sample, with a column for each figure of the daemon that was found. */
export function samplesCsv({ samples, daemonFigures }: RunReport): string {
  const figures = daemonFigures.filter(({ missing }) => missing === null).map(({ name }) => name);
  const columns = [
    'at_ms',
    'phase',
    'started',
    'done',
    'succeeded',
    'errors',
    'refusals',
    'skipped',
    'in_flight',
    'p50_ms',
    'p90_ms',
    'p99_ms',
    'max_ms',
    'late_ms_max',
    ...figures,
  ];
  const rows = samples.map((sample) => [
    sample.atMs,
    sample.phase,
    sample.started,
    sample.done,
    sample.succeeded,
    sample.errors,
    sample.refusals,
    sample.skipped,
    sample.inFlight,
    sample.latency.p50Ms,
    sample.latency.p90Ms,
    sample.latency.p99Ms,
    sample.latency.maxMs,
    sample.lateMsMax,
    ...figures.map((figure) => sample.daemon[figure] ?? null),
  ]);
  return csv([columns, ...rows]);
}

type Cell = string | number | null;

function csv(rows: readonly (readonly Cell[])[]): string {
  return rows.map((row) => `${row.map(cellText).join(',')}\r\n`).join('');
}

/** Nothing to measure is an empty cell. A text that a spreadsheet would take for a formula gets a quote in front. */
function cellText(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(cell);
  const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
