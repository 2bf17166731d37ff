// load: the files that a run can write. How each is made is in report/.

import { operationsCsv, samplesCsv } from './report/csv-report.ts';
import { htmlReport } from './report/html-report.ts';
import { junitReport } from './report/junit-report.ts';
import type { RunReport } from './report/run-report.ts';
import { textReport } from './report/text-report.ts';

/** A stream that may be a terminal. */
export type { ProgressStream as OutputStream } from './report/live-progress.ts';

/** An option of `volant-load run` and `volant-load report` that writes the report to a file. */
export interface ReportFormat {
  /** Without `--`; its value is the path of the file, or `-` for standard output. */
  readonly option: string;
  readonly description: string;
  readonly render: (report: RunReport) => string;
}

export const REPORT_FORMATS: readonly ReportFormat[] = [
  {
    option: 'report-json',
    description: 'write the report as JSON',
    render: (report) => `${JSON.stringify(report, null, 2)}\n`,
  },
  {
    option: 'report-html',
    description: 'write the report as one page with plots',
    render: htmlReport,
  },
  { option: 'report-text', description: 'write the report as text', render: textReport },
  {
    option: 'report-junit',
    description: 'write run and thresholds as test cases (JUnit XML)',
    render: junitReport,
  },
  { option: 'report-csv', description: 'write the operations as CSV', render: operationsCsv },
  { option: 'samples-csv', description: 'write the samples as CSV', render: samplesCsv },
];
