// bench: runs the suites and prints what they found: a table for people and JSON for programs. Every
// figure stands beside its bound of the same run; absolute figures mean nothing on another machine.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './lib/daemon.ts';
import { formatTable, type Row } from './lib/row.ts';
import { benchCreates } from './suites/create.ts';
import { benchFirstAnswer } from './suites/first-answer.ts';
import { benchImages } from './suites/images.ts';
import { benchOverload } from './suites/overload.ts';
import { benchReads } from './suites/read.ts';

const SUITES = {
  read: benchReads,
  create: benchCreates,
  images: benchImages,
  'first-answer': benchFirstAnswer,
  overload: benchOverload,
} as const;

function revision(): string {
  try {
    const options = { cwd: ROOT, encoding: 'utf8' as const };
    return execFileSync('git', ['describe', '--always', '--dirty'], options).trim();
  } catch {
    return 'unknown';
  }
}

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const wanted = args.filter((argument) => !argument.startsWith('--'));
const rows: Row[] = [];
for (const [name, suite] of Object.entries(SUITES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stderr.write(`measuring: ${name}\n`);
  rows.push(...(await suite(quick)));
}
const processors = cpus();
const stamp = {
  revision: revision(),
  date: new Date().toISOString(),
  mode: quick ? 'quick' : 'full',
  node: process.version,
  processor: processors[0]?.model ?? 'unknown',
  processors: processors.length,
};
const directory = join(ROOT, 'bench/results');
mkdirSync(directory, { recursive: true });
const file = join(directory, `${stamp.revision}.json`);
writeFileSync(file, `${JSON.stringify({ ...stamp, rows }, null, 2)}\n`);
console.log(
  `\nvolant ${stamp.revision}, ${stamp.mode}, node ${stamp.node}, ${stamp.processors} processors`,
);
console.log(`\n${formatTable(rows)}\n\nas JSON: ${file}`);
process.exit(0);
