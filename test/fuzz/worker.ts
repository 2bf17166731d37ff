// fuzz: the thread in which a target runs: what it does to time, memory or the process hits this thread.

import { parentPort, workerData } from 'node:worker_threads';
import { KEPT_BYTES_MAX, keepInputs, readCorpus } from './corpus.ts';
import { fuzz, minimal } from './engine.ts';
import { type FuzzJob, type FuzzReport, noteInput } from './protocol.ts';
import { targetNamed } from './targets.ts';

const job = workerData as FuzzJob;
const target = targetNamed(job.target);
const untilMs = performance.now() + job.seconds * 1000;

const { runs, finding, ways, newWays, inputs } = await fuzz(target, {
  seed: job.seed,
  corpus: job.replay === null ? readCorpus(target.name) : [Buffer.from(job.replay)],
  goesOn: () => job.replay === null && performance.now() < untilMs,
  onRun: (input) => noteInput(job.memory, input),
  guided: job.replay === null,
});
const keeps = job.keep && finding === null;
const kept = keeps ? keepInputs(target.name, await minimal(target, inputs, KEPT_BYTES_MAX)) : 0;
const report: FuzzReport = {
  runs,
  ways,
  newWays,
  kept,
  finding: finding && { input: finding.input, why: finding.error.stack ?? finding.error.message },
};
parentPort?.postMessage(report);
