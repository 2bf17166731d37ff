// scripts: each release gets its own package names, and a release that is not listed those of its nearest relative.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { requireThat } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

type OsRelease = Readonly<Record<string, string>>;

interface Tool {
  readonly package: string;
  readonly commands: readonly string[];
}

interface Packages {
  readonly id: string;
  readonly versionId: string;
  readonly kernel: readonly string[];
  readonly busybox: string;
  readonly virtiofsd: string;
  readonly tools: readonly Tool[];
  readonly testTools: readonly Tool[];
  readonly fuzzTools: readonly Tool[];
}

const { packagesFor, parseOsRelease, readOsRelease, RELEASES } = await loadScript<{
  packagesFor(osRelease?: OsRelease): Packages;
  parseOsRelease(text: string): OsRelease;
  readOsRelease(): OsRelease;
  RELEASES: readonly Packages[];
}>('lib/systems/packages.mjs');

test('os-release is read with and without quotes', () => {
  const text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\nEMPTY=\n';
  assert.deepEqual(parseOsRelease(text), {
    PRETTY_NAME: 'Debian GNU/Linux 13 (trixie)',
    ID: 'debian',
    VERSION_ID: '13',
    EMPTY: '',
  });
});

test('a release has its own row, and others that of their nearest relative', () => {
  const rowOf = (osRelease: OsRelease) => {
    const { id, versionId } = packagesFor(osRelease);
    return `${id} ${versionId}`;
  };
  for (const { id, versionId } of RELEASES) {
    assert.equal(rowOf({ ID: id, VERSION_ID: versionId }), `${id} ${versionId}`);
  }
  assert.equal(rowOf({ ID: 'debian', VERSION_ID: '14' }), 'debian 13');
  assert.equal(rowOf({ ID: 'debian', VERSION_ID: '11' }), 'debian 12');
  assert.equal(rowOf({ ID: 'debian' }), 'debian 13');
  assert.equal(rowOf({ ID: 'ubuntu', VERSION_ID: '23.10' }), 'ubuntu 22.04');
  assert.equal(rowOf({ ID: 'ubuntu', VERSION_ID: '26.04' }), 'ubuntu 24.04');
  const mint = { ID: 'linuxmint', ID_LIKE: 'ubuntu debian', VERSION_ID: '22' };
  assert.equal(rowOf(mint), 'ubuntu 24.04');
  assert.equal(rowOf({}), 'debian 13');
});

test('apt of this system knows the packages of its row', (t) => {
  const { ID = '', VERSION_ID = '' } = readOsRelease();
  const row = RELEASES.find(({ id, versionId }) => id === ID && versionId === VERSION_ID);
  const release = `needs a release with a row of its own, ${ID} ${VERSION_ID} has none`;
  if (!requireThat(t, row !== undefined, release)) return;
  const lists = readdirSync('/var/lib/apt/lists').filter((name) => name.includes('_Packages'));
  if (!requireThat(t, lists.length > 0, 'needs lists of packages: run apt-get update')) return;
  const { kernel, busybox, virtiofsd, tools, testTools, fuzzTools } = packagesFor();
  const named = [...tools, ...testTools, ...fuzzTools].map((tool) => tool.package);
  const all = [kernel[0] ?? '', busybox, virtiofsd, ...named];
  const { stdout, error } = spawnSync('apt-cache', ['policy', ...all], { encoding: 'utf8' });
  assert.equal(error, undefined);
  const known = stdout.split(/^(?=\S)/m).filter((block) => /Candidate: \d/.test(block));
  const names = known.map((block) => block.slice(0, block.indexOf(':')));
  assert.deepEqual(
    all.filter((name) => !names.includes(name)),
    [],
  );
});
