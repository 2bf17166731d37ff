// bench: a results file: the rows of one run, and what they were measured on.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from './arguments.ts';
import { ROOT } from './daemon.ts';
import type { FleetReport } from './fleet-report.ts';
import type { Row } from './row.ts';

export interface Results {
  readonly revision: string;
  readonly date: string;
  readonly mode: 'quick' | 'full';
  /** Rounds on a busy machine are in it. */
  readonly evenIfBusy: boolean;
  readonly node: string;
  readonly kernel: string;
  readonly processor: string;
  readonly processors: number;
  readonly rows: readonly Row[];
  readonly fleets: readonly FleetReport[];
}

/** Everything but the figures. */
export function describeRun(
  mode: Results['mode'],
  evenIfBusy: boolean,
): Omit<Results, 'rows' | 'fleets'> {
  const processors = cpus();
  return {
    revision: revision(),
    date: new Date().toISOString(),
    mode,
    evenIfBusy,
    node: process.version,
    kernel: release(),
    processor: processors[0]?.model ?? 'unknown',
    processors: processors.length,
  };
}

function revision(): string {
  try {
    const options = { cwd: ROOT, encoding: 'utf8' as const };
    return execFileSync('git', ['describe', '--always', '--dirty'], options).trim();
  } catch {
    return 'unknown';
  }
}

export function defaultFile({ revision, mode }: Pick<Results, 'revision' | 'mode'>): string {
  return join(ROOT, 'bench/results', `${revision}-${mode}.json`);
}

export function writeResults(file: string, results: Results): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** Throws an error that names the file where it cannot be read or is no file of results. */
export function readResults(file: string): Results {
  let found: Partial<Results>;
  try {
    found = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (!Array.isArray(found.rows) || !found.rows.every(isRow)) {
    throw new UsageError(`${file} is no results file of this version of the benchmarks`);
  }
  return { fleets: [], evenIfBusy: false, ...found } as Results;
}

function isRow(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { what, ours, bound, aim } = value as Partial<Row>;
  const isAim = typeof aim === 'object' && ('atLeast' in aim || 'atMost' in aim);
  return typeof what === 'string' && Array.isArray(ours) && Array.isArray(bound) && isAim;
}
