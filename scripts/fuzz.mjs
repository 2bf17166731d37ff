// scripts: fuzzes the parsers of input from guests, clients and files (npm run fuzz [-- TARGET...] [--seconds N] [--seed N]
// [--keep] [--replay FILE]). It prints one line for each target. A finding is written to a file, and the exit status is 1.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readArguments } from './lib/arguments.mjs';
import { Failure, run, runMain } from './lib/command.mjs';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';
import { buildForLibFuzzer, GUEST_TARGETS } from './lib/tests/fuzz-guest.mjs';

const CORPUS = join(PROJECT_ROOT, 'test/fuzz/corpus');
const FINDINGS = join(BUILD.root, 'fuzz/findings');
const COMPILED = join(PROJECT_ROOT, '.build/test/fuzz');

/** Far more than one input needs, for slow and busy machines. */
const INPUT_SECONDS_MAX = 20;
const MEMORY_MB_MAX = 1024;
/** Maximum size of an input that is added to the corpus. */
const KEPT_BYTES_MAX = 2048;
/** Maximum number of inputs that one run adds. */
const KEPT_MAX = 40;
const WHY_LINES_MAX = 8;

const USE = 'Use: npm run fuzz [-- TARGET... [--seconds N] [--seed N] [--keep] [--replay FILE]]';

function readRequest() {
  const options = {
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'boolean', default: false },
    replay: { type: 'string' },
  };
  const { values, positionals } = readArguments({ allowPositionals: true, options }, USE);
  for (const name of ['seconds', 'seed']) {
    if (!/^[1-9]\d{0,8}$/.test(values[name]))
      throw new Failure(`--${name} must be a number of 1 or more\n${USE}`);
  }
  return { ...values, names: positionals };
}

async function compileDaemonTargets() {
  await run(join(PROJECT_ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.test.json'], {
    cwd: PROJECT_ROOT,
  });
  const { TARGETS } = await import(join(COMPILED, 'targets.js'));
  return TARGETS.map(({ name }) => ({ name }));
}

/** Runs a program. Resolves with its status and its output. */
function runAndHear(program, args) {
  const child = spawn(program, args, { cwd: PROJECT_ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  return new Promise((resolveRun, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolveRun({ status, said }));
  });
}

/** The result of a target: { runs, growth, why, file }; `why` is null if nothing was found. */
async function fuzzDaemon({ name }, { seconds, seed, keep, replay }) {
  const { status, said } = await runAndHear(process.execPath, [
    join(COMPILED, 'run.js'),
    ...['--target', name, '--seconds', seconds, '--seed', seed, '--findings', FINDINGS],
    ...(keep ? ['--keep'] : []),
    ...(replay === undefined ? [] : ['--replay', resolve(replay)]),
  ]);
  const last = said.trimEnd().split('\n').at(-1) ?? '';
  if (status !== 0 || !last.startsWith('{')) throw new Failure(`${name} cannot be run:\n${said}`);
  const { runs, ways, newWays, kept, why, file } = JSON.parse(last);
  const growth = `ways ${ways} +${newWays}${keep ? `, kept ${kept}` : ''}`;
  return { runs, growth, why, file };
}

async function fuzzGuest(target, options) {
  const program = await buildForLibFuzzer(target);
  const bounds = [`-timeout=${INPUT_SECONDS_MAX}`, `-rss_limit_mb=${MEMORY_MB_MAX}`];
  if (options.replay !== undefined) {
    const { status, said } = await runAndHear(program, [...bounds, resolve(options.replay)]);
    return { runs: 1, growth: '', why: status === 0 ? null : said, file: null };
  }
  const found = mkdtempSync(join(tmpdir(), 'volant-fuzz-'));
  try {
    return await fuzzInto(found, program, bounds, target, options);
  } finally {
    rmSync(found, { recursive: true, force: true });
  }
}

/** `found` gets the inputs with new coverage, and the input of a finding. */
async function fuzzInto(found, program, bounds, { name, bytesMax }, { seconds, seed, keep }) {
  const inputs = join(found, 'inputs');
  mkdirSync(inputs);
  const { status, said } = await runAndHear(program, [
    ...bounds,
    ...[`-max_total_time=${seconds}`, `-seed=${seed}`, `-max_len=${bytesMax}`],
    ...['-print_final_stats=1', `-artifact_prefix=${found}/`],
    inputs,
    join(CORPUS, name),
  ]);
  const runs = Number(/stat::number_of_executed_units: (\d+)/.exec(said)?.[1] ?? 0);
  const edges = [...said.matchAll(/ cov: (\d+)/g)].map(([, count]) => Number(count));
  const begun = Number(/INITED cov: (\d+)/.exec(said)?.[1] ?? 0);
  let growth = `edges ${begun} +${Math.max(0, (edges.at(-1) ?? begun) - begun)}`;
  if (status === 0) {
    if (keep) growth += `, kept ${await keepInputs(program, inputs, name)}`;
    return { runs, growth, why: null, file: null };
  }
  const [artifact] = readdirSync(found).filter((entry) => !entry.startsWith('inputs'));
  if (artifact === undefined) throw new Failure(`${name} cannot be run:\n${said}`);
  mkdirSync(FINDINGS, { recursive: true });
  const file = join(FINDINGS, `${name}-${artifact}`);
  cpSync(join(found, artifact), file);
  return { runs, growth, why: said, file };
}

/** Adds the shortest inputs with coverage that the corpus lacks. Returns their number. */
async function keepInputs(program, inputs, name) {
  const merged = `${inputs}-merged`;
  const directory = join(CORPUS, name);
  cpSync(directory, merged, { recursive: true });
  const bounds = ['-set_cover_merge=1', `-max_len=${KEPT_BYTES_MAX}`];
  const { status, said } = await runAndHear(program, [...bounds, merged, inputs]);
  if (status !== 0) throw new Failure(`The inputs of ${name} cannot be merged:\n${said}`);
  const before = readdirSync(directory);
  const added = readdirSync(merged)
    .filter((file) => !before.includes(file))
    .map((file) => readFileSync(join(merged, file)))
    .sort((one, other) => one.length - other.length)
    .slice(0, KEPT_MAX);
  for (const input of added) {
    // Named like the inputs of other targets.
    const digest = createHash('sha256').update(input).digest('hex').slice(0, 12);
    writeFileSync(join(directory, digest), input);
  }
  return added.length;
}

/** The message and the position of a failed check, without the stack frames of the engine. */
function shortened(why) {
  const lines = why.trim().split('\n');
  const first = lines.findIndex((line) =>
    /does not hold|runtime error|ERROR:|Error|too long/.test(line),
  );
  return lines.slice(Math.max(0, first), Math.max(0, first) + WHY_LINES_MAX).join('\n    ');
}

function tell({ name }, { runs, growth, why, file }, seconds) {
  const crashes = why === null ? 'no finding' : '1 finding';
  const line = `${name.padEnd(20)} ${String(runs).padStart(10)} runs in ${seconds.toFixed(0)} s   ${growth.padEnd(20)} ${crashes}`;
  process.stdout.write(`${line.trimEnd()}\n`);
  if (why === null) return;
  process.stdout.write(`    ${shortened(why)}\n`);
  if (file === null) return;
  process.stdout.write(`    input: ${file}\n    again: npm run fuzz -- ${name} --replay ${file}\n`);
}

/** All targets if none is named. Compiles the daemon's targets if one of them may be chosen. */
async function chosenTargets(names) {
  const isGuest = (name) => GUEST_TARGETS.some((target) => target.name === name);
  const guest = GUEST_TARGETS.map((target) => ({ ...target, fuzz: fuzzGuest }));
  const needsDaemon = names.length === 0 || names.some((name) => !isGuest(name));
  const daemon = needsDaemon
    ? (await compileDaemonTargets()).map((target) => ({ ...target, fuzz: fuzzDaemon }))
    : [];
  const all = [...guest, ...daemon];
  const unknown = names.find((name) => all.every((target) => target.name !== name));
  if (unknown !== undefined) {
    const known = all.map(({ name }) => name).join(', ');
    throw new Failure(`There is no target ${unknown}. There are ${known}.`);
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

await runMain(async () => {
  const { names, ...options } = readRequest();
  if (options.replay !== undefined && (names.length !== 1 || !existsSync(options.replay))) {
    throw new Failure(`--replay needs one target and an existing file\n${USE}`);
  }
  for (const target of await chosenTargets(names)) {
    const startedMs = performance.now();
    const result = await target.fuzz(target, options);
    tell(target, result, (performance.now() - startedMs) / 1000);
    if (result.why !== null) process.exitCode = 1;
  }
});
