// scripts: measures what of src/ the tests execute that need no guest (npm run coverage [-- TEXT...]), and fails below the
// floor. The end-to-end tests are left out: their daemons are killed, and a process that is killed tells nothing.

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, run, runMain } from './lib/command.mjs';
import { PROJECT_ROOT } from './lib/paths.mjs';

/** Percent. Raise it when the figure has risen; lower it only with a reason in the commit. */
const LINES_MIN = 84;

/** They start daemons or other tools, where nothing is counted, or count coverage themselves. */
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

/** Files of types alone: nothing of them is executed, and they would count as never reached. */
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

await runMain(async () => {
  const filters = process.argv.slice(2);
  rmSync(OUTPUT, { recursive: true, force: true });
  await run(bin('tsc'), ['-p', 'tsconfig.test.json'], { cwd: PROJECT_ROOT });
  const files = findTests(filters);
  if (files.length === 0) throw new Failure(`No test matches ${filters.join(', ')}.`);
  // A part of the tests reaches a part of the code.
  const floor = filters.length === 0 ? ['--check-coverage', `--lines=${LINES_MIN}`] : [];
  const without = filesOfTypes().flatMap((path) => ['--exclude', path]);
  const tests = ['--test', '--test-concurrency=4', '--test-reporter=dot', ...files];
  await run(bin('c8'), [...floor, ...without, process.execPath, ...tests], {
    cwd: PROJECT_ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.stdout.write('Line by line: build/coverage/index.html\n');
});
