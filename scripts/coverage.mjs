// scripts: measures the coverage of src/ by the tests that need no guest (npm run coverage [-- TEXT...]), and fails below a
// minimum. End-to-end tests are excluded: a daemon that is killed reports no coverage.

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, run, runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';

/** In percent. Raise it after the coverage has risen; lower it only with a reason in the commit. */
const LINES_MIN = 87;

/** Tests that start daemons or other tools, which are not measured, or that measure coverage themselves. */
const LEFT_OUT = /^((e2e|lab|fuzz|guest|native|scripts)\/|schema\/openapi-judges)/;

const OUTPUT = join(PROJECT_ROOT, '.build');
const bin = (name) => join(PROJECT_ROOT, 'node_modules/.bin', name);

function findTests(filters) {
  return readdirSync(join(OUTPUT, 'test'), { recursive: true })
    .filter((path) => path.endsWith('.test.js') && !LEFT_OUT.test(path))
    .filter((path) => filters.length === 0 || filters.some((text) => path.includes(text)))
    .sort()
    .map((path) => join(OUTPUT, 'test', path));
}

/** Files with types only: no line of them is executed, so they would count as not covered. */
function filesOfTypes() {
  return readdirSync(join(OUTPUT, 'src'), { recursive: true })
    .filter((path) => path.endsWith('.js'))
    .filter((path) => {
      const text = readFileSync(join(OUTPUT, 'src', path), 'utf8');
      const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
      return code.trim() === 'export {};';
    })
    .flatMap((path) => [`.build/src/${path}`, `src/${path.replace(/\.js$/, '.ts')}`]);
}

await runMain(
  async () => {
    const filters = process.argv.slice(2);
    rmSync(OUTPUT, { recursive: true, force: true });
    await run(bin('tsc'), ['-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
    const files = findTests(filters);
    if (files.length === 0) throw new Failure(`No test matches ${filters.join(', ')}.`);
    // With a filter only a part of the code is covered, so there is no minimum.
    const floor = filters.length === 0 ? ['--check-coverage', `--lines=${LINES_MIN}`] : [];
    const without = filesOfTypes().flatMap((path) => ['--exclude', path]);
    const tests = ['--test', '--test-concurrency=4', '--test-reporter=dot', ...files];
    await run(bin('c8'), [...floor, ...without, process.execPath, ...tests], {
      cwd: PROJECT_ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    process.stdout.write('Line by line: build/coverage/index.html\n');
  },
  {
    usage:
      'Use: npm run coverage [-- TEXT...]. With a TEXT only tests whose path contains it run, and there is no minimum.',
  },
);
