// scripts: runs all tests (npm test [-- FILTER] [--no-e2e]): sets up what is missing, checks the style
// and the types, compiles, then runs the test files, here and, when asked, on other systems. The last line is
// "N passed, N failed, N skipped".

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { capture, Failure, findCommand, run, runMain } from './lib/command.mjs';
import { findBusybox, hasApt, installPackages, missingTestTools } from './lib/debian.mjs';
import { debianRootProblem, ensureDebianRoot } from './lib/debian-root.mjs';
import { LAB_LOST, labProblem, runInLab } from './lib/lab.mjs';
import { makeOtherSystem } from './lib/other-system.mjs';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';
import { alreadyThere, createProgress, formatSeconds } from './lib/progress.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';
import { countLacking, SYSTEMS, testOnSystem } from './lib/system-tests.mjs';
import { guestKernel, setup } from './setup.mjs';

/** Guests that are emulated for minutes: mostly one core is at work for them. */
const LONG_TESTS = /e2e\/(debian|dhcp|guides)\./;

const FILE_TIMEOUT_MS = 480_000;
const OUTPUT = join(PROJECT_ROOT, '.build');
const TESTS = join(OUTPUT, 'test');
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is the escape of a terminal's colours
const COLOURS = /\x1b\[\d+m/g;
const COUNT = /^ℹ (pass|fail|cancelled|skipped) (\d+)$/;

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        'no-e2e': { type: 'boolean', default: false },
        'no-lab': { type: 'boolean', default: false },
        'here-only': { type: 'boolean', default: false },
        systems: { type: 'boolean', default: false },
        e2e: { type: 'string', multiple: true, default: [''] },
      },
    });
    const withEndToEnd = !values['no-e2e'];
    return {
      filters: positionals,
      endToEnd: values.e2e,
      hereOnly: values['here-only'],
      withEndToEnd,
      withLab: withEndToEnd && !values['no-lab'],
      withSystems: values.systems && !values['here-only'],
    };
  } catch (error) {
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new Failure(
      `${error.message}\nUse: npm test [-- FILTER... [--no-e2e] [--no-lab] [--e2e TEXT]... [--systems | --here-only]]`,
    );
  }
}

/** Where they cannot be installed the tests say themselves what they lack. */
async function installTools(tell) {
  const missing = missingTestTools();
  if (missing.length === 0) return alreadyThere('all there');
  if (process.getuid() !== 0 || !hasApt()) return alreadyThere(`lacking ${missing.join(' ')}`);
  tell(`installing ${missing.join(' ')}`);
  await installPackages(missing);
  return `installed ${missing.join(' ')}`;
}

/** Tests have no way to the package servers from where they run, so this is made before. */
async function makeDebianDisk(tell) {
  const recipe = join(PROJECT_ROOT, 'images/debian/build');
  const disk = join(BUILD.images, 'debian.img');
  const value = digest({ paths: [recipe] });
  if (isFresh('debian', value, [disk])) return alreadyThere('debian.img');
  if (process.getuid() !== 0 || findCommand('mmdebstrap') === null) {
    return alreadyThere('cannot be made here');
  }
  tell('installing Debian, a minute or two');
  try {
    await run(recipe, [disk], { env: process.env });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return alreadyThere(`could not be made: ${error.message}`);
  }
  remember('debian', value);
  return 'made debian.img';
}

async function compile() {
  // Into an empty directory: a test whose source is gone must not run.
  rmSync(OUTPUT, { recursive: true, force: true });
  await run(bin('tsc'), ['-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
  return 'compiled the tests into .build/';
}

async function lint() {
  await run(bin('biome'), ['check', '.'], { cwd: PROJECT_ROOT });
  return 'biome has no complaint';
}

const bin = (name) => join(PROJECT_ROOT, 'node_modules/.bin', name);

/** Test files by group. End-to-end tests make networks, so they get a network namespace; those of the lab a machine. */
function findTests({ filters, endToEnd }) {
  const below = (directory) => (path) => path.startsWith(`${directory}/`);
  const isUnit = (path) => !below('e2e')(path) && !below('lab')(path);
  const matches = (path) => (text) => path.includes(text);
  const wanted = readdirSync(TESTS, { recursive: true })
    .filter((path) => path.endsWith('.test.js'))
    .filter((path) => filters.length === 0 || filters.some(matches(path)))
    .sort();
  const full = (path) => join(TESTS, path);
  return {
    unit: wanted.filter(isUnit).map(full),
    endToEnd: wanted
      .filter(below('e2e'))
      .filter((path) => endToEnd.some(matches(path)))
      .map(full),
    lab: wanted.filter(below('lab')).map(full),
  };
}

/** Set by the first SIGINT or SIGTERM: what runs is ended, and nothing new is begun. */
let interrupted = false;

/** Adds up the counts that Node's own runner prints at its end. */
function newCounter() {
  const counts = { pass: 0, fail: 0, cancelled: 0, skipped: 0 };
  return {
    take(line) {
      const match = COUNT.exec(line.replace(COLOURS, ''));
      if (match !== null) counts[match[1]] += Number(match[2]);
    },
    result: (status) => ({
      passed: counts.pass,
      // A file that could not even be loaded, and a runner that was killed, are failures too.
      failed: Math.max(counts.fail + counts.cancelled, status === 0 ? 0 : 1),
      skipped: counts.skipped,
    }),
  };
}

const writeOut = (text) => process.stdout.write(text);

/** Runs test files and resolves with their counts. Whatever they leave in their process group is killed. */
function runTests(files, { prefix = [], concurrency, write = writeOut }) {
  const [command, ...args] = [
    ...prefix,
    process.execPath,
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${FILE_TIMEOUT_MS}`,
    '--test-reporter=spec',
    ...files,
  ];
  const counter = newCounter();
  const child = spawn(command, args, {
    cwd: PROJECT_ROOT,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}) },
  });
  const killGroup = () => killQuietly(-child.pid);
  const onSignal = () => {
    interrupted = true;
    killGroup();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  createInterface({ input: child.stdout }).on('line', (line) => {
    write(`${line}\n`);
    counter.take(line);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', killGroup);
    child.once('close', (status) => {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      resolve(counter.result(status));
    });
  });
}

function killQuietly(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * Runs files side by side with those that take long, each of the two in a network namespace of its own. What
 * the long ones say comes at the end.
 */
async function runInNamespaces(files) {
  const long = files.filter((path) => LONG_TESTS.test(path));
  const others = files.filter((path) => !long.includes(path));
  let said = '';
  const keep = (text) => {
    said += text;
  };
  const lanes = [
    { name: 'main', files: others, write: writeOut },
    { name: 'long', files: long, write: others.length === 0 ? writeOut : keep },
  ].filter((lane) => lane.files.length > 0);
  const counts = await Promise.all(lanes.map(runInNamespace));
  writeOut(said);
  return sum(counts);
}

/** Runs the files of a lane inside a network namespace of its own, which is removed afterwards. */
async function runInNamespace({ name: lane, files, write }) {
  const [ip, nsenter] = [findCommand('ip'), findCommand('nsenter')];
  if (process.getuid() !== 0 || ip === null || nsenter === null) {
    // Without a namespace the tests say themselves what they lack.
    return runTests(files, { concurrency: 1, write });
  }
  const name = `volant-test-${process.pid}-${lane}`;
  const netns = (...args) => spawnSync(ip, ['netns', ...args], { encoding: 'utf8' });
  capture(ip, ['netns', 'add', name]);
  try {
    capture(ip, ['-n', name, 'link', 'set', 'lo', 'up']);
    return await runTests(files, {
      prefix: [nsenter, `--net=/run/netns/${name}`],
      concurrency: 1,
      write,
    });
  } finally {
    const leftOver = netns('pids', name).stdout.split('\n').filter(Boolean).map(Number);
    for (const pid of leftOver) killQuietly(pid);
    if (leftOver.length > 0) process.stderr.write(`killed left-over ${leftOver.join(' ')}\n`);
    netns('delete', name);
  }
}

/** Runs the files inside an emulated machine with KVM and an IOMMU. Without one they say what they lack. */
async function runLabTests(files) {
  const problem = labProblem();
  if (problem !== null) {
    process.stderr.write(`${problem}\n`);
    return runTests(files, { concurrency: 1 });
  }
  const counts = [];
  for (const file of files) {
    if (interrupted) break;
    const first = await runInOneLab(file);
    if (first.status === LAB_LOST)
      process.stdout.write('The lab was lost, not a test: once more.\n');
    counts.push((first.status === LAB_LOST ? await runInOneLab(file) : first).counts);
  }
  return sum(counts);
}

/** Runs a test file in a lab of its own: what one leaves behind is nothing to the next. */
async function runInOneLab(file) {
  const counter = newCounter();
  const options = `--test --test-timeout=${FILE_TIMEOUT_MS} --test-reporter=spec`;
  const requirement = process.env.VOLANT_TEST_REQUIRE ?? '';
  const status = await runInLab({
    command: `VOLANT_TEST_REQUIRE=${requirement} node ${options} ${file}`,
    kernel: await guestKernel(),
    busybox: findBusybox(),
    onLine: (line) => {
      process.stdout.write(`${line}\n`);
      counter.take(line);
    },
  });
  return { status, counts: counter.result(status) };
}

/** What runs here comes first. The lab uses one core most of the time: the other systems have the other one. */
async function testAll({ unit, endToEnd, lab }, options, systems) {
  const groups = [
    { title: 'tests', files: unit, start: (files) => runTests(files, { concurrency: 2 }) },
    {
      title: 'end-to-end tests',
      files: options.withEndToEnd ? endToEnd : [],
      start: runInNamespaces,
    },
  ];
  const all = [];
  for (const { title, files, start } of groups.filter((group) => group.files.length > 0)) {
    if (interrupted) return sum(all);
    announce(title, files);
    all.push(await start(files));
  }
  const elsewhere = systems === null ? null : testOnSystems(systems, options);
  // Its failure is told when the lab is done.
  elsewhere?.catch(() => undefined);
  if (options.withLab && lab.length > 0 && !interrupted) {
    announce('tests in the lab', lab);
    all.push(await runLabTests(lab));
  }
  if (elsewhere !== null) all.push(...(await elsewhere)());
  return sum(all);
}

const announce = (title, files) => writeOut(`\n${title}: ${files.length} files\n`);

/** Resolves with a function that writes what the systems said and returns their counts. */
async function testOnSystems({ root, problem }, { filters }) {
  if (root === null) return () => [countLacking(problem, (line) => writeOut(`\n${line}\n`))];
  const results = [];
  const there = makeOtherSystem(root);
  try {
    for (const system of SYSTEMS) {
      if (interrupted) break;
      const said = [];
      const startedMs = performance.now();
      const counts = await testOnSystem(there, system, {
        filters,
        write: (line) => said.push(line),
        onStart: endWhenInterrupted,
      });
      const seconds = formatSeconds((performance.now() - startedMs) / 1000);
      results.push({ title: `${system.title}: ${countText(counts)} (${seconds})`, said, counts });
    }
  } finally {
    there.remove();
  }
  return () => {
    for (const { title, said } of results) writeOut(`\n${title}\n${said.join('\n')}\n`);
    return results.map(({ counts }) => counts);
  };
}

/** Returns the function that ends the watch. */
function endWhenInterrupted(kill) {
  const onSignal = () => {
    interrupted = true;
    kill();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
}

/** The root directory in which the tests run as other systems, or the reason why there is none. */
async function prepareRoot(log) {
  const found = { root: null, problem: debianRootProblem() };
  await log.step('other systems', async (tell) => {
    if (found.problem !== null) return alreadyThere(`not here: ${found.problem}`);
    try {
      const { root, isNew } = await ensureDebianRoot(tell);
      found.root = root;
      return isNew ? `made ${root}` : alreadyThere(root);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      found.problem = error.message;
      return alreadyThere('could not be made');
    }
  });
  return found;
}

const countText = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

function sum(counts) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const one of counts) for (const key of Object.keys(total)) total[key] += one[key];
  return total;
}

await runMain(async () => {
  const options = readArguments();
  const log = createProgress();
  log.heading('Volant: tests');
  await setup({ log, home: null });
  await log.step('test tools', installTools);
  // Elsewhere it is the same sources.
  if (!options.hereOnly) await log.step('lint', lint);
  await log.step('types', compile);
  const tests = findTests(options);
  if (options.withEndToEnd && tests.endToEnd.some((path) => path.includes('debian'))) {
    await log.step('debian', makeDebianDisk);
  }
  const systems = options.withSystems ? await prepareRoot(log) : null;
  const total = await testAll(tests, options, systems);
  const ran = total.passed + total.failed + total.skipped;
  if (ran === 0) throw new Failure(`No test matches ${options.filters.join(', ')}.`);
  if (total.failed > 0) process.exitCode = 1;
  log.line(`\n${countText(total)}`);
});
