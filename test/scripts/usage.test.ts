// scripts: commands that a user types say what they take, and refuse what they do not take before they do anything.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

const COMMANDS = [
  ...['up', 'down', 'setup', 'test', 'soak', 'chaos', 'fuzz', 'fuzz-api', 'image', 'coverage'],
  ...['install-service', 'uninstall-service', 'compare-load', 'generated-clients'],
];
const WITHOUT_ARGUMENTS = ['up', 'down', 'setup', 'install-service', 'uninstall-service'];

function runScript(name: string, argument: string) {
  return spawnSync(process.execPath, [join(PROJECT_ROOT, `scripts/${name}.mjs`), argument], {
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, VOLANT_HOME: '/nonexistent/volant' },
  });
}

for (const name of COMMANDS) {
  test(`${name} --help prints how it is used, and nothing else`, () => {
    const { status, stdout, stderr } = runScript(name, '--help');
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^Use:\s+np[mx] /);
  });
}

test('what is read of the arguments is what the script has named, with its values', async () => {
  const { readArguments } = await loadScript<{
    readArguments(config: object, usage: string): { readonly values: object };
  }>('lib/arguments.mjs');
  const options = { count: { type: 'string', default: '7' } };
  assert.deepEqual({ ...readArguments({ args: [], options }, '').values }, { count: '7' });
});

for (const name of WITHOUT_ARGUMENTS) {
  test(`${name} refuses an argument that it does not know`, () => {
    const { status, stdout, stderr } = runScript(name, '--everything');
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^\nUse:\s+np[mx] /);
  });
}
