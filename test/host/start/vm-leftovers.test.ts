// What a launch leaves in a run directory is believed only as the daemon wrote it: the directory is the hypervisor's.

import assert from 'node:assert/strict';
import {
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { VmDescription } from '../../../src/engine/records.ts';
import {
  claimRunDirectory,
  describeVms,
  isOfOtherHome,
  makeRunDirectory,
  readOwner,
} from '../../../src/host/jobs/process/run-directory.ts';
import type { HostSettings } from '../../../src/host/jobs/protocol.ts';
import { removeHomeFile, writeHomeFile } from '../../../src/host/start/home-file.ts';
import {
  findLeftovers,
  readDescription,
  setDisksAside,
} from '../../../src/host/start/vm-leftovers.ts';
import type { VmConfig } from '../../../src/schema/vm-config.ts';
import { requireCapability } from '../../helpers/capabilities.ts';
import { vmRecord } from '../../store/vm-record.ts';

const DESCRIPTION = {
  record: vmRecord(7),
  config: { manifest: { name: 'hello' } } as VmConfig,
};

function runtime(t: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'volant-remains-'));
  t.after(() => rmSync(parent, { recursive: true, force: true }));
  makeRunDirectory(join(parent, '7'));
  claimRunDirectory(join(parent, '7'), 'ours');
  describe(parent, DESCRIPTION);
  return parent;
}

function describe(runtimeDirectory: string, ...descriptions: VmDescription[]): void {
  describeVms({ settings: { runtimeDirectory } as HostSettings, descriptions });
}

suite('what a launch leaves', () => {
  test('is read as it was written, and says whose it is', (t) => {
    const parent = runtime(t);
    assert.deepEqual(readDescription(parent, 7), DESCRIPTION);
    assert.equal(isOfOtherHome(join(parent, '7'), 'ours'), false);
    assert.equal(isOfOtherHome(join(parent, '7'), 'another'), true);
    // From before run directories said so, and one that was removed.
    rmSync(join(parent, '7/home.id'));
    assert.equal(isOfOtherHome(join(parent, '7'), 'another'), false);
    assert.equal(isOfOtherHome(join(parent, '8'), 'another'), false);
  });

  test('it says so by a link to the note of the home, or by itself where there is none', (t) => {
    const parent = runtime(t);
    const homeFile = { homeId: 'ours', hostTag: '1234', statePath: '/state' };
    writeHomeFile(parent, homeFile);
    makeRunDirectory(join(parent, '8'));
    claimRunDirectory(join(parent, '8'), 'ours');
    const [own, linked] = ['7/home.id', '8/home.id'].map((name) => statSync(join(parent, name)));
    assert.deepEqual([own?.nlink, linked?.nlink], [1, 2]);
    assert.deepEqual(
      ['7', '8'].map((name) => readOwner(join(parent, name))),
      ['ours', 'ours'],
    );
    // A home that gets another name, such as a copy, does not rename what ran before.
    writeHomeFile(parent, { ...homeFile, homeId: 'another' });
    assert.equal(readOwner(join(parent, '8')), 'ours');
    makeRunDirectory(join(parent, '9'));
    claimRunDirectory(join(parent, '9'), 'another');
    assert.equal(readOwner(join(parent, '9')), 'another');
    removeHomeFile(parent);
    assert.deepEqual(readdirSync(parent).sort(), ['7', '8', '9']);
  });

  test('what a hypervisor put in its place is not believed', (t) => {
    if (!requireCapability(t, 'root')) return;
    const parent = runtime(t);
    const file = join(parent, '7/vm.json');
    const other = join(parent, 'other.json');
    const lie = JSON.stringify(DESCRIPTION);
    rmSync(file);
    writeFileSync(file, lie);
    chownSync(file, 65_000, 65_000);
    assert.equal(readDescription(parent, 7), null);
    writeFileSync(other, lie);
    for (const put of [symlinkSync, linkSync]) {
      rmSync(file);
      put(other, file);
      assert.equal(readDescription(parent, 7), null);
    }
    rmSync(file);
    mkdirSync(file);
    assert.equal(readDescription(parent, 7), null);
  });

  test('is written again in place of what was there, never through it, and without one that is gone', (t) => {
    const parent = runtime(t);
    const file = join(parent, '7/vm.json');
    const other = join(parent, 'other.json');
    const next = { ...DESCRIPTION, record: { ...vmRecord(7), name: 'renamed' } };
    writeFileSync(other, 'of somebody else');
    for (const put of [symlinkSync, linkSync]) {
      rmSync(file);
      put(other, file);
      describe(parent, { ...DESCRIPTION, record: vmRecord(8) }, next);
      assert.deepEqual(readDescription(parent, 7), next);
      assert.equal(readFileSync(other, 'utf8'), 'of somebody else');
    }
    // A directory in its place costs only the VM that it belongs to.
    rmSync(file);
    mkdirSync(file);
    makeRunDirectory(join(parent, '9'));
    const ninth = { ...DESCRIPTION, record: vmRecord(9) };
    describe(parent, next, ninth);
    assert.equal(readDescription(parent, 7), null);
    assert.deepEqual(readDescription(parent, 9), ninth);
  });

  test('stays as it was while it cannot be written again', (t) => {
    const parent = runtime(t);
    // The hypervisor, to which the directory belongs, has taken the name under which the next one is written.
    mkdirSync(join(parent, '7/vm.json.new'));
    describe(parent, { ...DESCRIPTION, record: { ...DESCRIPTION.record, name: 'renamed' } });
    assert.deepEqual(readDescription(parent, 7), DESCRIPTION);
    rmSync(join(parent, '7/vm.json.new'), { recursive: true });
    // A daemon that was killed while it wrote has left a part.
    writeFileSync(join(parent, '7/vm.json.new'), '{');
    const next = { ...DESCRIPTION, record: { ...DESCRIPTION.record, name: 'renamed' } };
    describe(parent, next);
    assert.deepEqual(readDescription(parent, 7), next);
  });

  test('half of it, and that of another VM, is nothing', (t) => {
    const parent = runtime(t);
    for (const text of [
      '{"record": {"id": 7',
      '{}',
      'null',
      JSON.stringify({ ...DESCRIPTION, record: vmRecord(8) }),
    ]) {
      writeFileSync(join(parent, '7/vm.json'), text);
      assert.equal(readDescription(parent, 7), null, text);
    }
  });

  test('disks are moved away under a name that no VM gets', (t) => {
    const parent = runtime(t);
    const disks = join(parent, 'disks');
    mkdirSync(join(disks, '9'), { recursive: true });
    const directories = { runtimeDirectory: parent, diskDirectory: disks };
    assert.deepEqual(
      findLeftovers(directories).map(({ vmId, hasDisks }) => [vmId, hasDisks]),
      [
        [7, false],
        [9, true],
      ],
    );
    setDisksAside(disks, 9, 1);
    assert.deepEqual(readdirSync(disks), ['orphaned-9-1']);
    assert.deepEqual(
      findLeftovers(directories).map(({ vmId }) => vmId),
      [7],
    );
  });
});
