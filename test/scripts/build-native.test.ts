// scripts: a native build that fails removes nothing that was built before.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

const CMAKE = `cmake_minimum_required(VERSION 3.15)
project(volant_native LANGUAGES CXX)
add_library(volant_native SHARED addon/addon.cc)
set_target_properties(volant_native PROPERTIES PREFIX "" SUFFIX ".node")
`;
const RIGHT = 'int main(void) { return 0; }\n';
const WRONG = 'this does not compile\n';
const BUILT = {
  'Release/volant_native.node': 'addon of before',
  'guest/agent': 'agent of before',
  'simulator/simulator': 'simulator of before',
  'images/vmlinux': 'kernel',
  'stamps/kernel': 'stamp',
};

/** A checkout with sources that take no time to build. */
function checkout(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'volant-build-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  cpSync(join(PROJECT_ROOT, 'scripts'), join(root, 'scripts'), { recursive: true });
  cpSync(join(PROJECT_ROOT, 'package.json'), join(root, 'package.json'));
  symlinkSync(join(PROJECT_ROOT, 'node_modules'), join(root, 'node_modules'));
  cpSync(join(PROJECT_ROOT, 'native/package.json'), join(root, 'native/package.json'));
  write('native/CMakeLists.txt', CMAKE);
  for (const [path, text] of Object.entries(BUILT)) write(`build/${path}`, text);
  return {
    write,
    built: (path: string) => readFileSync(join(root, 'build', path), 'latin1'),
    build: () => {
      const script = join(root, 'scripts/build-native.mjs');
      return spawnSync(process.execPath, [script], { encoding: 'utf8', cwd: root });
    },
  };
}

test('whatever fails to build, what was there is there as it was', (t) => {
  if (!requireCapability(t, 'cmake', 'musl-gcc')) return;
  const { write, built, build } = checkout(t);
  write('native/addon/addon.cc', WRONG);
  write('native/guest/main.c', WRONG);
  write('native/simulator/main.c', RIGHT);
  assert.notEqual(build().status, 0);
  for (const [path, text] of Object.entries(BUILT)) assert.equal(built(path), text, path);

  write('native/addon/addon.cc', 'extern "C" int nothing() { return 0; }\n');
  const second = build();
  assert.notEqual(second.status, 0);
  assert.match(second.stdout, /addon built/);
  assert.match(built('Release/volant_native.node'), /^\x7fELF/);
  for (const path of ['guest/agent', 'simulator/simulator', 'images/vmlinux'] as const) {
    assert.equal(built(path), BUILT[path], path);
  }

  write('native/guest/main.c', RIGHT);
  const third = build();
  assert.equal(third.status, 0, third.stderr);
  assert.match(built('guest/agent'), /^\x7fELF/);
  assert.equal(built('images/vmlinux'), BUILT['images/vmlinux']);
  assert.match(build().stdout, /up to date/);
});
