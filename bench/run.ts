// bench: the program: measures suites and fleets, compares results, and writes the documentation's figures. Every figure
// stands beside its bound of the same run; absolute figures mean nothing on another machine.

import { rmSync } from 'node:fs';
import { realFleet, simulatedFleet } from './fleet.ts';
import { type Call, HELP, parseArguments, UsageError } from './lib/arguments.ts';
import { compareResults, formatComparisons } from './lib/compare.ts';
import { endDaemons, ROOT } from './lib/daemon.ts';
import { type FleetReport, formatFleet } from './lib/fleet-report.ts';
import { writePage } from './lib/page.ts';
import { programsDirectory } from './lib/programs.ts';
import {
  defaultFile,
  describeRun,
  type Results,
  readResults,
  writeResults,
} from './lib/results.ts';
import { countBusyRounds, watchMachine } from './lib/rounds.ts';
import { formatRows, type Row, row } from './lib/row.ts';
import { benchCreates, benchOneProcessor } from './suites/create.ts';
import { benchEvents } from './suites/events.ts';
import { benchExecs } from './suites/exec.ts';
import { benchFiles } from './suites/files.ts';
import { benchFirstAnswer } from './suites/first-answer.ts';
import { benchGuests } from './suites/guests.ts';
import { benchImages } from './suites/images.ts';
import { benchLatency } from './suites/latency.ts';
import { benchOverload } from './suites/overload.ts';
import { benchReads } from './suites/read.ts';
import { benchRecords } from './suites/records.ts';
import { benchRecovery } from './suites/recovery.ts';

type Suite = (quick: boolean) => Promise<Row[]>;

const SUITES: Readonly<Record<string, Suite>> = {
  read: benchReads,
  latency: benchLatency,
  create: benchCreates,
  'one-processor': benchOneProcessor,
  events: benchEvents,
  recovery: benchRecovery,
  images: benchImages,
  guests: benchGuests,
  'first-answer': benchFirstAnswer,
  exec: benchExecs,
  files: benchFiles,
  overload: watched(benchOverload),
  records: watched(benchRecords),
};

/** Of the documentation: simulated ones, and then as many real ones as fit. */
const FLEETS = [1_000, 5_000];
const REAL_MAX = 1_000;

/** For a suite that does not measure in rounds: all of its rows are refused when the machine was busy. */
function watched(suite: Suite): Suite {
  return async (quick) => {
    const problem = watchMachine();
    const rows = await suite(quick);
    const refusal = problem();
    return rows.map((item) => ({ ...item, refusal: item.refusal ?? refusal }));
  };
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

let failures = 0;

async function measureSuites(names: readonly string[], quick: boolean): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, suite] of Object.entries(SUITES)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const startedMs = performance.now();
    const failed = (error: Error) => {
      failures += 1;
      return [row(`suite ${name}`, '', 1, 1, '', { atLeast: 1 }, `it failed: ${error.message}`)];
    };
    // What the others have measured is not lost with one of them.
    rows.push(...(await suite(quick).catch(failed)));
    tell(`measured: ${name}, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  }
  return rows;
}

async function measureFleets(call: Call): Promise<FleetReport[]> {
  if (call.command === 'fleet') {
    return [await (call.real ? realFleet(call.vms) : simulatedFleet(call.vms))];
  }
  if (call.command !== 'all') return [];
  const fleets: FleetReport[] = [];
  const fleetOf = (title: string, fleet: Promise<FleetReport>) =>
    fleet.catch((error: Error) => {
      failures += 1;
      return { title, figures: [], limit: `it failed: ${error.message}` };
    });
  for (const count of FLEETS) {
    fleets.push(await fleetOf(`${count} simulated VMs`, simulatedFleet(count)));
  }
  fleets.push(await fleetOf('Real guests', realFleet(REAL_MAX)));
  return fleets;
}

function print(results: Results, json: boolean): void {
  const { revision, mode, node, processors, rows, fleets } = results;
  if (json) {
    console.log(JSON.stringify(results, null, 2));
    return;
  }
  console.log(`\nvolant ${revision}, ${mode}, node ${node}, ${processors} processors`);
  if (rows.length > 0) console.log(`\n${formatRows(rows)}`);
  for (const fleet of fleets) console.log(`\n${formatFleet(fleet)}`);
}

/** Returns the exit status. */
async function carryOut(call: Call): Promise<number> {
  if (call.command === 'help') {
    console.log(HELP);
    return 0;
  }
  if (call.command === 'compare') {
    const comparisons = compareResults(readResults(call.before), readResults(call.after));
    const text = call.json ? JSON.stringify(comparisons, null, 2) : formatComparisons(comparisons);
    console.log(text);
    return comparisons.some(({ verdict }) => verdict === 'worse') ? 1 : 0;
  }
  if (call.command === 'docs') {
    for (const path of writePage(ROOT, readResults(call.file))) tell(`written: ${path}`);
    return 0;
  }
  const evenIfBusy = call.command === 'measure' && call.evenIfBusy;
  if (evenIfBusy) countBusyRounds();
  const mode = call.command === 'measure' && call.quick ? 'quick' : 'full';
  const all = call.command === 'all';
  const suites = call.command === 'measure' ? call.suites : [];
  const rows = call.command === 'fleet' ? [] : await measureSuites(suites, mode === 'quick');
  const fleets = await measureFleets(call);
  const results: Results = { ...describeRun(mode, evenIfBusy), rows, fleets };
  const file = call.out ?? defaultFile(results);
  writeResults(file, results);
  print(results, call.json);
  tell(`\nas JSON: ${file}`);
  if (all) for (const path of writePage(ROOT, results)) tell(`written: ${path}`);
  return failures === 0 ? 0 : 1;
}

function removePrograms(): void {
  const directory = programsDirectory();
  if (directory !== null) rmSync(directory, { recursive: true, force: true });
}

const INTERRUPTED = 130;

/** Ctrl-C, or the end of the script that started this program: what was made is removed. */
function endWhenInterrupted(): void {
  let isEnding = false;
  const end = () => {
    if (isEnding) return;
    isEnding = true;
    tell('\ninterrupted: ending what runs');
    void endDaemons().then(() => {
      removePrograms();
      process.exit(INTERRUPTED);
    });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
  if (process.connected) process.on('disconnect', end);
}

async function main(): Promise<number> {
  try {
    return await carryOut(parseArguments(process.argv.slice(2), Object.keys(SUITES)));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    tell(`${error.message}\n\n${HELP}`);
    return 2;
  } finally {
    removePrograms();
  }
}

endWhenInterrupted();
process.exit(await main());
