// load: `volant-load report` and `volant-load compare`: what can be done with reports that were written before.

import type { Command } from 'commander';
import { type CommandWorld, numberBetween } from './command-world.ts';
import { EXIT, PrintedResult } from './exit-status.ts';
import { compareReports } from './report/compare.ts';
import { compareText } from './report/compare-text.ts';
import { textReport } from './report/text-report.ts';
import { readReport, withReports, writeReports } from './report-files.ts';

const WORSE_THAN_PERCENT = 10;

export function addReport(program: Command, world: CommandWorld): void {
  const command = program
    .command('report')
    .description('show a report that --report-json wrote, or write it in another format')
    .argument('<report>', 'the file');
  withReports(command).action(async (path: string, flags: Readonly<Record<string, unknown>>) => {
    const report = await readReport(path);
    await writeReports(report, flags, world.stdout);
    if (Object.keys(flags).length === 0) world.stdout.write(textReport(report));
  });
}

export function addCompare(program: Command, world: CommandWorld): void {
  program
    .command('compare')
    .description('say what is better and what is worse in the second of two reports')
    .argument('<before>', 'a file that --report-json wrote')
    .argument('<after>', 'another one')
    .option(
      '--worse-than <percent>',
      'how much a latency or rate may change and count as the same',
      numberBetween(0, 1000),
      WORSE_THAN_PERCENT,
    )
    .option('--json', 'print the comparison as JSON')
    .action(async (before: string, after: string, flags: { worseThan: number; json?: true }) => {
      const comparison = compareReports(
        await readReport(before),
        await readReport(after),
        flags.worseThan / 100,
      );
      const json = () => `${JSON.stringify(comparison, null, 2)}\n`;
      world.stdout.write(flags.json === true ? json() : compareText(comparison));
      if (comparison.isWorse) throw new PrintedResult(EXIT.failed);
    });
}
