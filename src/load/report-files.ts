// load: options that write a report to files, and reading a report that was written before.

import { open, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { UsageError } from './exit-status.ts';
import { LOAD_LIMITS } from './load-limits.ts';
import { type OutputStream, REPORT_FORMATS } from './output.ts';
import type { RunReport } from './report/run-report.ts';

/** Adds an option for each format of a report. */
export function withReports(command: Command): Command {
  for (const { option, description } of REPORT_FORMATS) {
    command.option(`--${option} <file>`, `${description}; - is standard output`);
  }
  return command;
}

/** Writes the files that the options name. Resolves with whether something went to standard output. */
export async function writeReports(
  report: RunReport,
  flags: Readonly<Record<string, unknown>>,
  stdout: OutputStream,
): Promise<boolean> {
  let isPrinted = false;
  for (const { option, render } of REPORT_FORMATS) {
    const path = flags[camelCase(option)];
    if (typeof path !== 'string') continue;
    if (path === '-') {
      stdout.write(render(report));
      isPrinted = true;
    } else {
      await writeFile(path, render(report));
    }
  }
  return isPrinted;
}

/** As commander names options. */
function camelCase(option: string): string {
  return option.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Reads what --report-json wrote. Throws UsageError for a file that is something else. */
export async function readReport(path: string): Promise<RunReport> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`The report cannot be read: ${error.message}`);
  });
  try {
    const { size } = await file.stat();
    if (size > LOAD_LIMITS.reportBytesMax) {
      throw new UsageError(`${path} has more than ${LOAD_LIMITS.reportBytesMax} bytes`);
    }
    return checked(path, JSON.parse(await file.readFile('utf8')));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError(`${path} is no report of volant-load: it is not JSON`);
  } finally {
    await file.close();
  }
}

function checked(path: string, value: unknown): RunReport {
  const report = value as Partial<RunReport> | null;
  if (typeof report !== 'object' || report?.run?.label === undefined) {
    throw new UsageError(`${path} is no report of volant-load`);
  }
  if (report.format !== 1) {
    throw new UsageError(`${path} has format ${report.format}, and this volant-load reads 1`);
  }
  return report as RunReport;
}
