// bench: the part of docs/benchmarks.md that a results file gives, with its plots.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from './arguments.ts';
import { type FleetReport, fleetLines } from './fleet-report.ts';
import { plotAims, plotRounds } from './plots.ts';
import type { Results } from './results.ts';
import { cellsOf } from './row.ts';

const BEGIN = '<!-- begin: written by npm run bench -- docs -->';
const END = '<!-- end -->';

/** Writes plots into docs/benchmarks/ and tables into docs/benchmarks.md below this directory. */
export function writePage(root: string, results: Results): readonly string[] {
  if (results.evenIfBusy) throw new UsageError('These results were measured on a busy machine');
  const page = join(root, 'docs/benchmarks.md');
  const directory = join(root, 'docs/benchmarks');
  mkdirSync(directory, { recursive: true });
  const plots = { 'aims.svg': plotAims(results.rows), 'rounds.svg': plotRounds(results.rows) };
  for (const [name, plot] of Object.entries(plots)) writeFileSync(join(directory, name), plot);
  writeFileSync(page, withResults(readFileSync(page, 'utf8'), results));
  return [page, ...Object.keys(plots).map((name) => join(directory, name))];
}

/** The page with this run between its two marks. Throws where the page has none. */
export function withResults(page: string, results: Results): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`The page lacks the marks "${BEGIN}" and "${END}"`);
  const before = page.slice(0, begin + BEGIN.length);
  return `${before}\n\n${resultsText(results)}\n\n${page.slice(end)}`;
}

export function resultsText(results: Results): string {
  const { revision, date, mode, node, kernel, processor, processors, rows, fleets } = results;
  const good = rows.filter(({ refusal }) => refusal === null);
  const refused = rows.filter(({ refusal }) => refusal !== null);
  return [
    `Revision ${revision}, ${date.slice(0, 10)}, ${mode} mode: ${processors} processors (${processor}), Linux ${kernel}, Node ${node.slice(1)}.`,
    '',
    '| row | ours | bound | unit | ratio | spread | aim | |',
    '|---|---|---|---|---|---|---|---|',
    ...good.map((item) => `| ${cellsOf(item).join(' | ')} |`),
    ...(refused.length === 0 ? [] : ['', 'Refused in this run:', '']),
    ...refused.map(({ what, refusal }) => `- ${what}: ${refusal}`),
    '',
    '![Each ratio against its aim](benchmarks/aims.svg)',
    '',
    '![Ours and the bound, round by round](benchmarks/rounds.svg)',
    ...fleetsText(fleets),
  ].join('\n');
}

function fleetsText(fleets: readonly FleetReport[]): readonly string[] {
  return fleets.flatMap((fleet) => [
    '',
    `**${fleet.title}**`,
    '',
    '| what | figure |',
    '|---|---|',
    ...fleetLines(fleet).map(([what, figure]) => `| ${what} | ${figure} |`),
  ]);
}
