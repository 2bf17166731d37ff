// scripts: runs all tests (npm test [-- FILTER] [--no-e2e]): sets up what is missing, checks the style
// and the types, compiles, then runs the test files, here and, when asked, on other systems. The last line is
// "N passed, N failed, N skipped".

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, findCommand, run, runMain } from './lib/command.mjs';
import { hasApt, installPackages, missingTestTools } from './lib/debian.mjs';
import { debianRootProblem, ensureDebianRoot } from './lib/debian-root.mjs';
import { ensureOpenApiTools } from './lib/openapi-tools.mjs';
import { makeOtherSystem } from './lib/other-system.mjs';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';
import { alreadyThere, createProgress, formatSeconds } from './lib/progress.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';
import { countLacking, SYSTEMS, testOnSystem } from './lib/system-tests.mjs';
import {
  endWhenInterrupted,
  isInterrupted,
  runInNamespaces,
  runLabTests,
  runTests,
  sum,
  writeOut,
} from './lib/test-runs.mjs';
import { guestKernel, setup } from './setup.mjs';

/** They begin first: one guest is emulated for minutes, or much is done one after the other. */
const LONG_TESTS = /e2e\/(debian|isolation|dhcp|guides|disks|devices)\./;

/** They need the tools for the OpenAPI document. */
const OPENAPI_TESTS = /openapi-judges|generated-client/;

/** Their guests keep all cores busy: beside them others would come too late. */
const BUSY_TESTS = /e2e\/(boots|boots-busy)\./;

/** End-to-end tests that run side by side: mostly they wait for something. */
const LANES = 3;

const OUTPUT = join(PROJECT_ROOT, '.build');
const TESTS = join(OUTPUT, 'test');

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
  const whole = wanted.filter(below('e2e')).filter((path) => endToEnd.some(matches(path)));
  const isBusy = (path) => BUSY_TESTS.test(path);
  const isLong = (path) => LONG_TESTS.test(path);
  const light = whole.filter((path) => !isBusy(path));
  return {
    unit: wanted.filter(isUnit).map(full),
    endToEnd: [...light.filter(isLong), ...light.filter((path) => !isLong(path))].map(full),
    busy: whole.filter(isBusy).map(full),
    lab: wanted.filter(below('lab')).map(full),
  };
}

/**
 * The lab uses one core most of the time and what needs no daemon waits most of the time, so they run side by side. What
 * keeps all cores busy comes last and alone.
 */
async function testAll({ unit, endToEnd, busy, lab }, options, systems) {
  const all = [];
  const run = async (title, files, start) => {
    if (files.length === 0 || isInterrupted()) return;
    writeOut(`\n${title}: ${files.length} files\n`);
    all.push(await start(files));
  };
  const inLab = run('tests in the lab', lab, async (files) =>
    runLabTests(files, await guestKernel()),
  );
  // Many of them wait for a bound to pass.
  await run('tests', unit, (files) => runTests(files, { concurrency: 4 }));
  await run('end-to-end tests', endToEnd, (files) => runInNamespaces(files, LANES));
  await inLab;
  await run('end-to-end tests that need all cores', busy, (files) => runInNamespaces(files, 1));
  if (systems !== null) all.push(...(await testOnSystems(systems, options))());
  return sum(all);
}

async function testOnSystems({ root, problem }, { filters }) {
  if (root === null) return () => [countLacking(problem, (line) => writeOut(`\n${line}\n`))];
  const results = [];
  const there = makeOtherSystem(root);
  try {
    for (const system of SYSTEMS) {
      if (isInterrupted()) break;
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
  if ([...tests.unit, ...tests.endToEnd].some((path) => OPENAPI_TESTS.test(path))) {
    await log.step('openapi tools', ensureOpenApiTools);
  }
  const systems = options.withSystems ? await prepareRoot(log) : null;
  const total = await testAll(tests, options, systems);
  const ran = total.passed + total.failed + total.skipped;
  if (ran === 0) throw new Failure(`No test matches ${options.filters.join(', ')}.`);
  if (total.failed > 0) process.exitCode = 1;
  log.line(`\n${countText(total)}`);
});
