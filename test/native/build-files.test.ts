// native: both build files of the addon build the same sources. CMake's is what set-up and every other test use; the
// one for node-gyp is built here.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { NODE_GYP, NODE_PREFIX, PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

const LIST = 'native/addon/sources.txt';
const read = (path: string) => readFileSync(join(PROJECT_ROOT, path), 'utf8');

test('the list of sources is the directory, and both build files read it', () => {
  const inDirectory = readdirSync(join(PROJECT_ROOT, 'native/addon')).filter((name) =>
    name.endsWith('.cc'),
  );
  assert.deepEqual(read(LIST).trimEnd().split('\n'), inDirectory.sort());
  for (const file of ['binding.gyp', 'native/CMakeLists.txt']) {
    assert.match(read(file), /addon\/sources\.txt/, file);
    assert.doesNotMatch(read(file), /\w\.cc\b/, `${file} names a source of its own`);
  }
});

test('node-gyp builds an addon that has what the one of CMake has', (t) => {
  // Nothing is downloaded: npm brings the tool, and most packages of Node its headers.
  if (!requireCapability(t, 'node-gyp', 'node-headers', 'python3', 'make')) return;
  const directory = mkdtempSync(join(tmpdir(), 'volant-gyp-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const path of ['binding.gyp', 'package.json', 'native']) {
    cpSync(join(PROJECT_ROOT, path), join(directory, path), { recursive: true });
  }
  symlinkSync(join(PROJECT_ROOT, 'node_modules'), join(directory, 'node_modules'));
  // Without optimisation: whether it builds is asked, not how fast it is.
  const args = [NODE_GYP, 'rebuild', `--nodedir=${NODE_PREFIX}`, '--debug', '--jobs=2'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: directory,
    encoding: 'utf8',
    timeout: 300_000,
  });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const load = createRequire(import.meta.url);
  const exportsOf = (path: string) => Object.keys(load(path)).sort();
  assert.deepEqual(
    exportsOf(join(directory, 'build/Debug/volant_native.node')),
    exportsOf(join(PROJECT_ROOT, 'build/Release/volant_native.node')),
  );
});
