// load, report: a run as plain text, for a terminal or a log.

import { OPERATION_HEAD, operationCells, withTotal } from './operation-table.ts';
import type { CleanupReport, KneeReport, OperationReport, RunReport } from './run-report.ts';
import { textTable } from './text-table.ts';
import { countsText, durationText, KNEE_HEAD, kneeRows, kneeText, thresholdText } from './words.ts';

/** Ends with a line break. */
export function textReport(report: RunReport): string {
  const { run, verdict, reasons, phases, operations, total, knee, cleanup } = report;
  const blocks = [
    headLines(report),
    phases.length > 1 && knee === null
      ? phases.flatMap((phase, index) => [
          ...(index === 0 ? [] : ['']),
          `phase ${phase.name}, ${durationText(phase.durationMs)}, ${phase.model} model`,
          ...tableOf(phase.operations, phase.total),
        ])
      : [],
    [phases.length > 1 ? 'the whole run' : 'operations', ...tableOf(operations, total)],
    failureLines(operations),
    knee === null ? [] : kneeLines(knee),
    report.thresholds.length === 0
      ? []
      : ['thresholds', ...report.thresholds.map((one) => `  ${thresholdText(one)}`)],
    cleanup === null ? ['What the run made was left.'] : cleanupLines(cleanup),
    [`${run.scenario.name}: ${verdict}`, ...reasons.map((reason) => `  ${reason}`)],
  ];
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

function headLines({ run, generator }: RunReport): readonly string[] {
  const version = run.serverVersion === null ? '' : ` (Volant ${run.serverVersion})`;
  return [
    `${run.scenario.name} on ${run.url}${version}`,
    `run ${run.label}, seed ${run.seed}, ${run.startedAt}, ${durationText(run.durationMs)}`,
    `${counted(generator.processes.length, 'generator process', 'generator processes')}, latest start ${durationText(generator.lateMsMax)} late`,
  ];
}

function counted(count: number, one: string, several: string): string {
  return `${count} ${count === 1 ? one : several}`;
}

function tableOf(operations: readonly OperationReport[], total: OperationReport) {
  return textTable(OPERATION_HEAD, withTotal(operations, total).map(operationCells)).map(
    (line) => `  ${line}`,
  );
}

/** What did not succeed, by code. */
function failureLines(operations: readonly OperationReport[]): readonly string[] {
  const lines = operations.flatMap(({ name, errors, refusals, skipped }) => [
    ...(errors.total > 0 ? [`  ${name}: errors ${countsText(errors)}`] : []),
    ...(refusals.total > 0 ? [`  ${name}: refused ${countsText(refusals)}`] : []),
    ...(skipped.total > 0 ? [`  ${name}: starts skipped ${countsText(skipped)}`] : []),
  ]);
  return lines.length === 0 ? [] : ['what did not succeed', ...lines];
}

function kneeLines(knee: KneeReport): readonly string[] {
  const table = textTable(KNEE_HEAD, kneeRows(knee)).map((line) => `  ${line}`);
  return [kneeText(knee), `  ${knee.end}`, ...table];
}

function cleanupLines(cleanup: CleanupReport): readonly string[] {
  const { removedVms, removedDeployments, durationMs, left, leftTotal, command } = cleanup;
  const vms = counted(removedVms, 'VM', 'VMs');
  const deployments = counted(removedDeployments, 'deployment', 'deployments');
  const removed = `removed ${vms} and ${deployments} in ${durationText(durationMs)}`;
  if (leftTotal === 0) return [removed];
  return [
    removed,
    `${leftTotal} could not be removed; try \`${command}\``,
    ...left.map(({ kind, name, reason }) => `  ${kind} ${name}: ${reason}`),
  ];
}
