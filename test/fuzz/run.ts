// fuzz: runs one target of the daemon's parsers for some time (scripts/fuzz.mjs starts it). A thread does the work;
// here it is watched: an input that takes too long, too much memory or the thread's life is a finding, too. The
// last line is the report as JSON.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { nameOf } from './corpus.ts';
import { type FuzzJob, type FuzzReport, makeMemory, notedInput } from './protocol.ts';
import { targetNamed } from './targets.ts';

/** One input takes microseconds of a processor; a busy machine may take its time, but not forever. */
const HANG_CPU_MS = 5_000;
const HANG_MS = 120_000;
const LOOK_EVERY_MS = 500;
const HEAP_MB_MAX = 512;

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: '' },
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    findings: { type: 'string', default: '.' },
    keep: { type: 'boolean', default: false },
    replay: { type: 'string' },
  },
});

const target = targetNamed(values.target);
const replay = values.replay === undefined ? null : readFileSync(values.replay);
const memory = makeMemory(Math.max(target.bytesMax, replay?.length ?? 0));
const job: FuzzJob = {
  target: target.name,
  seed: Number(values.seed),
  seconds: Number(values.seconds),
  keep: values.keep,
  replay,
  memory,
};

function runWatched(): Promise<FuzzReport> {
  const worker = new Worker(new URL('worker.js', import.meta.url), {
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
  });
  return new Promise((resolve) => {
    const settle = (report: FuzzReport) => {
      clearInterval(timer);
      resolve(report);
      void worker.terminate();
    };
    const fail = (why: string) => {
      const { runs, input } = notedInput(memory);
      settle({ runs, ways: 0, newWays: 0, kept: 0, finding: { input, why } });
    };
    let before = { runs: -1, sinceMs: 0, cpu: process.cpuUsage() };
    const timer = setInterval(() => {
      const { runs } = notedInput(memory);
      const used = process.cpuUsage(before.cpu);
      const isSlow = (used.user + used.system) / 1000 > HANG_CPU_MS;
      if (runs !== before.runs) {
        before = { runs, sinceMs: performance.now(), cpu: process.cpuUsage() };
      } else if (runs > 0 && (isSlow || performance.now() - before.sinceMs > HANG_MS)) {
        // Before the first input it loads what it needs.
        fail('the input takes too long');
      }
    }, LOOK_EVERY_MS);
    worker.once('message', settle);
    worker.once('error', (error: unknown) =>
      fail(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
  });
}

function save(input: Uint8Array): string {
  mkdirSync(values.findings, { recursive: true });
  const file = join(values.findings, `${target.name}-${nameOf(Buffer.from(input))}`);
  writeFileSync(file, input);
  return file;
}

const { finding, ...counts } = await runWatched();
const file = finding === null || replay !== null ? null : save(finding.input);
process.stdout.write(`${JSON.stringify({ ...counts, why: finding?.why ?? null, file })}\n`);
