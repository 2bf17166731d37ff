// load, report: a run as one page of HTML that needs nothing else: no script, no font, no request. It can be sent and archived.

import { type Plot, plotSvg, type Series } from './html-plots.ts';
import { PAGE_STYLE } from './html-style.ts';
import { escapedMarkup as escaped } from './markup.ts';
import { OPERATION_HEAD, operationCells, withTotal } from './operation-table.ts';
import type { DaemonFigure, OperationReport, RunReport, Sample } from './run-report.ts';
import {
  countsText,
  durationText,
  KNEE_HEAD,
  kneeRows,
  kneeText,
  shareText,
  thresholdText,
} from './words.ts';

/** `<style>` of the page alone is allowed: a report has text that guests and daemons wrote. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

export function htmlReport(report: RunReport): string {
  const { run } = report;
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(run.scenario.name)}: ${report.verdict}</title>`,
    `<style>${PAGE_STYLE}</style></head><body>`,
    ...head(report),
    ...section('Operations', operationsTable(report.operations, report.total)),
    ...failures(report.operations),
    ...thresholds(report),
    ...knee(report),
    ...plots(report),
    ...phases(report),
    ...generator(report),
    ...cleanup(report),
    '</body></html>',
    '',
  ].join('\n');
}

function head({ run, verdict, reasons }: RunReport): readonly string[] {
  const look = verdict === 'passed' ? 'good' : 'bad';
  const version = run.serverVersion === null ? '' : ` (Volant ${run.serverVersion})`;
  return [
    `<h1>${escaped(run.scenario.name)}</h1>`,
    `<p class="quiet">${escaped(run.scenario.description)}</p>`,
    `<p><span class="verdict ${look}">${verdict}</span></p>`,
    ...reasons.map((reason) => `<p class="bad">${escaped(reason)}</p>`),
    `<p>${escaped(run.url)}${escaped(version)}, ${escaped(run.startedAt)}, ${durationText(run.durationMs)}</p>`,
    `<p class="quiet">run ${escaped(run.label)}, seed ${run.seed}, volant-load ${escaped(run.version)}, ` +
      `scenario ${run.scenario.sha256.slice(0, 12)}</p>`,
  ];
}

function section(title: string, ...content: readonly string[]): readonly string[] {
  return [`<h2>${escaped(title)}</h2>`, ...content];
}

function table(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  kind = '',
): string {
  const cells = (tag: string, row: readonly string[]) =>
    `<tr>${row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="scroll"><table class="${kind}"><thead>${cells('th', columns)}</thead><tbody>${rows
    .map((row) => cells('td', row))
    .join('')}</tbody></table></div>`;
}

function operationsTable(operations: readonly OperationReport[], total: OperationReport): string {
  return table(OPERATION_HEAD, withTotal(operations, total).map(operationCells));
}

function failures(operations: readonly OperationReport[]): readonly string[] {
  const rows = operations
    .filter(({ errors, refusals, skipped }) => errors.total + refusals.total + skipped.total > 0)
    .map(({ name, errors, refusals, skipped }) => [
      name,
      countsText(errors),
      countsText(refusals),
      countsText(skipped),
    ]);
  if (rows.length === 0) return [];
  const columns = ['operation', 'errors', 'refused (429 and 503)', 'starts skipped'];
  return section('What did not succeed', table(columns, rows, 'words'));
}

function thresholds(report: RunReport): readonly string[] {
  if (report.thresholds.length === 0) return [];
  const lines = report.thresholds.map(
    (one) => `<p class="${one.held ? 'good' : 'bad'}">${escaped(thresholdText(one))}</p>`,
  );
  return section('Thresholds', ...lines);
}

function knee({ knee: found }: RunReport): readonly string[] {
  if (found === null) return [];
  return section(
    'The highest rate',
    `<p><strong>${escaped(kneeText(found))}</strong> ${escaped(found.end)}</p>`,
    table(KNEE_HEAD, kneeRows(found)),
  );
}

/** The figures of the harness, then each figure that the daemon gave. */
function plots(report: RunReport): readonly string[] {
  const { samples, sampleIntervalMs, phases, run, daemonFigures } = report;
  if (samples.length === 0) return [];
  const perSecond = 1000 / sampleIntervalMs;
  const line = (name: string, color: Series['color'], of: (sample: Sample) => number | null) => ({
    name,
    color,
    points: samples.map((sample) => [sample.atMs, of(sample)] as const),
  });
  const own: readonly Plot[] = [
    {
      title: 'Operations',
      unit: 'per second',
      series: [
        line('started', 1, (sample) => sample.started * perSecond),
        line('succeeded', 3, (sample) => sample.succeeded * perSecond),
        line('errors', 2, (sample) => sample.errors * perSecond),
        line('refused', 4, (sample) => sample.refusals * perSecond),
      ],
    },
    {
      title: 'Latency',
      unit: 'ms',
      series: [
        line('p50', 1, ({ latency }) => latency.p50Ms),
        line('p90', 3, ({ latency }) => latency.p90Ms),
        line('p99', 2, ({ latency }) => latency.p99Ms),
      ],
    },
    {
      title: 'In flight',
      unit: 'operations',
      series: [line('in flight', 1, (sample) => sample.inFlight)],
    },
  ];
  const ofDaemon = daemonFigures
    .filter(({ missing }) => missing === null)
    .map((figure) => figurePlot(figure, samples));
  const missing = daemonFigures.filter((figure) => figure.missing !== null);
  const until = Math.max(run.durationMs, samples.at(-1)?.atMs ?? 0);
  const draw = (plot: Plot) => plotSvg(plot, phases, until);
  return [
    ...section('Over time', ...own.map(draw)),
    ...section(
      'The daemon’s own figures',
      ...ofDaemon.map(draw),
      ...missing.map(
        ({ name, missing: why }) => `<p class="quiet">${escaped(name)}: ${escaped(why ?? '')}</p>`,
      ),
    ),
  ];
}

/** A counter is shown as its growth per second. */
function figurePlot({ name, description, kind }: DaemonFigure, samples: readonly Sample[]): Plot {
  const points = samples.map((sample, index) => {
    const value = sample.daemon[name] ?? null;
    if (kind === 'gauge') return [sample.atMs, value] as const;
    const before = samples[index - 1];
    const earlier = before?.daemon[name];
    if (value === null || before === undefined || earlier === undefined) {
      return [sample.atMs, null] as const;
    }
    // A daemon that was restarted counts from zero again.
    const growth = Math.max(0, value - earlier) / ((sample.atMs - before.atMs) / 1000);
    return [sample.atMs, growth] as const;
  });
  const unit = kind === 'gauge' ? name : `${name}, growth per second`;
  return { title: description, unit, series: [{ name, color: 1, points }] };
}

function phases(report: RunReport): readonly string[] {
  if (report.phases.length < 2 || report.knee !== null) return [];
  return report.phases.flatMap((phase) => [
    ...section(
      `Phase ${phase.name}: ${phase.kind}, ${phase.model} model, ${durationText(phase.durationMs)}`,
      operationsTable(phase.operations, phase.total),
    ),
    ...(phase.drift === null
      ? []
      : [
          `<p>p99 of its first tenth ${durationText(phase.drift.first.p99Ms)}, of its last tenth ` +
            `${durationText(phase.drift.last.p99Ms)}</p>`,
        ]),
  ]);
}

function generator({ generator: own }: RunReport): readonly string[] {
  const rows = own.processes.map((process) => [
    String(process.index),
    String(process.starts),
    String(process.lateStarts),
    durationText(process.loopDelayP99Ms),
    durationText(process.stalledMs),
    shareText(process.cpuShareMean),
    shareText(process.cpuShareMax),
    process.wantedShareMax === null ? '–' : shareText(process.wantedShareMax),
  ]);
  const columns = [
    'process',
    'starts',
    'late',
    'event loop p99',
    'stalled',
    'processor mean',
    'processor most',
    'with waits for it',
  ];
  return section(
    'Generator',
    table(columns, rows),
    `<p class="quiet">The latest start was ${durationText(own.lateMsMax)} late. A run counts when at most ` +
      `${shareText(own.limits.lateShareMax)} of the starts are later than ${durationText(own.limits.lateMs)}.</p>`,
    ...own.messages.map((message) => `<p class="quiet">${escaped(message)}</p>`),
  );
}

function cleanup({ cleanup: done }: RunReport): readonly string[] {
  if (done === null) return section('Cleanup', '<p>What the run made was left.</p>');
  const { removedVms, removedDeployments, durationMs, left, leftTotal, command } = done;
  const removed = `Removed ${removedVms} VMs and ${removedDeployments} deployments in ${durationText(durationMs)}.`;
  return section(
    'Cleanup',
    `<p>${removed}</p>`,
    ...(leftTotal === 0
      ? []
      : [
          `<p class="bad">${leftTotal} could not be removed; try <code>${escaped(command ?? '')}</code></p>`,
          table(
            ['kind', 'name', 'reason'],
            left.map(({ kind, name, reason }) => [kind, name, reason]),
            'words',
          ),
        ]),
  );
}
