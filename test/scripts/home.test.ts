// scripts: what `npm run down -- --all` removes from a home directory, and what it keeps.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { copyState, setStateAside } from '../../src/store/copies.ts';
import { dataFileOf } from '../../src/store/env.ts';
import { loadScript } from './load.ts';

interface HomeScript {
  emptyHome(home: string): { removed: readonly string[]; kept: readonly string[] };
}

function homeWith(t: TestContext, ...paths: readonly string[]): string {
  const home = mkdtempSync(join(tmpdir(), 'volant-home-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  for (const path of paths) {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), '');
  }
  return home;
}

test('every copy of the records that the daemon makes beside them goes with them', async (t) => {
  const { emptyHome } = await loadScript<HomeScript>('lib/service/home.mjs');
  const home = homeWith(t, 'kernel/vmlinux', 'run/1/vm.json', 'disks/orphaned-1-2/data.qcow2');
  const state = join(home, 'state');
  for (const label of ['replaced', 'damaged']) {
    mkdirSync(state, { recursive: true });
    writeFileSync(dataFileOf(state), 'records');
    setStateAside(state, label, Date.now());
  }
  writeFileSync(dataFileOf(state), 'records');
  copyState(state, 'format-1', Date.now(), 3);
  mkdirSync(`${state}.restoring`);
  assert.equal(readdirSync(home).filter((name) => name.startsWith('state.')).length, 4);
  assert.deepEqual(emptyHome(home).kept, []);
  assert.equal(existsSync(home), false);
});

test('what is not ours stays, and is named', async (t) => {
  const { emptyHome } = await loadScript<HomeScript>('lib/service/home.mjs');
  const own = ['images/own.cpio', 'keys.json', 'state.mine/a', 'state.replaced', 'statement'];
  const home = homeWith(t, ...own, 'images/boot.cpio', 'volantd.lock');
  const { removed, kept } = emptyHome(home);
  assert.deepEqual(removed, ['images/boot.cpio', 'volantd.lock']);
  assert.deepEqual(kept, own.toSorted());
});
