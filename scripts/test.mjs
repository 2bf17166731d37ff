// scripts: runs all tests (npm test [-- FILTER] [--no-e2e]): sets up what is missing, checks the style and the types,
// compiles, then runs the test files here and, on request, on other systems. The last line is "N passed, N failed, N
// skipped".

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensureOpenApiTools } from './lib/api/openapi-tools.mjs';
import { readArguments } from './lib/arguments.mjs';
import { Failure, findCommand, run, runMain } from './lib/command.mjs';
import { BUILD, PROJECT_ROOT } from './lib/paths.mjs';
import { alreadyThere, createProgress, formatSeconds } from './lib/progress.mjs';
import { digest, isFresh, remember } from './lib/stamp.mjs';
import { hasApt, installPackages, missingTestTools } from './lib/systems/debian.mjs';
import { debianRootProblem, ensureDebianRoot } from './lib/systems/debian-root.mjs';
import { makeOtherSystem } from './lib/systems/other-system.mjs';
import { countLacking, SYSTEMS, testOnSystem } from './lib/tests/system-tests.mjs';
import { sum } from './lib/tests/test-output.mjs';
import {
  endWhenInterrupted,
  isInterrupted,
  runInNamespaces,
  runLabTests,
  runTests,
  writeOut,
} from './lib/tests/test-runs.mjs';
import { chooseTests, TOOL_TESTS } from './lib/tests/test-selection.mjs';
import { guestKernel, setup } from './setup.mjs';

/** Number of end-to-end tests that run in parallel: most of their time is waiting. */
const LANES = 3;

const OUTPUT = join(PROJECT_ROOT, '.build');
const TESTS = join(OUTPUT, 'test');

const USE =
  'Use: npm test [-- FILTER... [--no-e2e] [--no-lab] [--e2e TEXT]... [--systems | --here-only]]';

function readSelection() {
  const options = {
    'no-e2e': { type: 'boolean', default: false },
    'no-lab': { type: 'boolean', default: false },
    'here-only': { type: 'boolean', default: false },
    systems: { type: 'boolean', default: false },
    e2e: { type: 'string', multiple: true, default: [''] },
  };
  const { values, positionals } = readArguments({ allowPositionals: true, options }, USE);
  const withEndToEnd = !values['no-e2e'];
  return {
    filters: positionals,
    endToEnd: values.e2e,
    hereOnly: values['here-only'],
    withEndToEnd,
    withLab: withEndToEnd && !values['no-lab'],
    withSystems: values.systems && !values['here-only'],
  };
}

/** If tools cannot be installed, the tests report what they lack. */
async function installTools(tell) {
  const missing = missingTestTools();
  if (missing.length === 0) return alreadyThere('all there');
  if (process.getuid() !== 0 || !hasApt()) return alreadyThere(`lacking ${missing.join(' ')}`);
  tell(`installing ${missing.join(' ')}`);
  await installPackages(missing);
  return `installed ${missing.join(' ')}`;
}

/** Tests cannot reach package servers, so the disk is built before. */
async function makeDebianDisk(tell) {
  const recipe = join(PROJECT_ROOT, 'images/debian/build');
  const disk = join(BUILD.images, 'debian.img');
  const value = digest({ paths: [recipe] });
  if (isFresh('debian', value, [disk])) return alreadyThere('debian.img');
  if (process.getuid() !== 0 || findCommand('mmdebstrap') === null) {
    return alreadyThere('cannot be built here');
  }
  tell('installing Debian (a minute or two)');
  try {
    await run(recipe, [disk], { env: process.env });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return alreadyThere(`could not be built: ${error.message}`);
  }
  remember('debian', value);
  return 'made debian.img';
}

async function compile() {
  // Into an empty directory: the output of a deleted test must not run.
  rmSync(OUTPUT, { recursive: true, force: true });
  await run(bin('tsc'), ['-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
  await run(bin('tsc'), ['-p', 'ui/tsconfig.json'], { cwd: PROJECT_ROOT });
  return 'compiled the tests into .build/';
}

async function lint() {
  await run(bin('biome'), ['check', '.'], { cwd: PROJECT_ROOT });
  return 'biome found no problems';
}

const bin = (name) => join(PROJECT_ROOT, 'node_modules/.bin', name);

/** The selected test files, compiled, by group. */
function findTests(options) {
  const groups = chooseTests(readdirSync(TESTS, { recursive: true }), options);
  const full = (paths) => paths.map((path) => join(TESTS, path));
  return Object.fromEntries(Object.entries(groups).map(([name, paths]) => [name, full(paths)]));
}

/**
 * The lab uses one core most of the time, and tests without a daemon mostly wait, so both run in parallel. Tests that keep
 * all cores busy run last and alone.
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
  // Many of them wait for a timeout.
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

/** The root directory in which the tests run as on other systems, or the reason why there is none. */
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
      return alreadyThere('could not be built');
    }
  });
  return found;
}

const countText = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

await runMain(async () => {
  const options = readSelection();
  const log = createProgress();
  log.heading('Volant: tests');
  await setup({ log, home: null });
  await log.step('test tools', installTools);
  // The sources on other systems are the same.
  if (!options.hereOnly) await log.step('lint', lint);
  await log.step('types', compile);
  const tests = findTests(options);
  if (options.withEndToEnd && tests.endToEnd.some((path) => path.includes('debian'))) {
    await log.step('debian', makeDebianDisk);
  }
  if ([...tests.unit, ...tests.endToEnd].some((path) => TOOL_TESTS.test(path))) {
    await log.step('openapi tools', ensureOpenApiTools);
  }
  const systems = options.withSystems ? await prepareRoot(log) : null;
  const total = await testAll(tests, options, systems);
  const ran = total.passed + total.failed + total.skipped;
  if (ran === 0) throw new Failure(`No test matches ${options.filters.join(', ')}.`);
  if (total.failed > 0) process.exitCode = 1;
  // Again, because the output of thousands of tests is between them and the reader.
  if (total.failures.length > 0) writeOut(`\nFailures\n${total.failures.join('\n')}\n`);
  log.line(`\n${countText(total)}`);
});
