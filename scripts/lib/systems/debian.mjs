// scripts: installs Debian and Ubuntu packages. Tools are installed with apt. A guest kernel and busybox are only unpacked
// below build/, so that the host's own boot files and shell are not changed.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, findCommand, run } from '../command.mjs';
import { BUILD } from '../paths.mjs';
import { packagesFor } from './packages.mjs';

/** Names of the packages of tools that this host lacks. */
export const missingTools = () => missingOf(packagesFor().tools);

/** Like missingTools(), for tools that only the tests need. */
export const missingTestTools = () => missingOf(packagesFor().testTools);

/** Like missingTools(), for tools that only fuzzing needs. */
export const missingFuzzTools = () => missingOf(packagesFor().fuzzTools);

function missingOf(tools) {
  return tools
    .filter(({ commands }) => commands.every((name) => findCommand(name) === null))
    .filter(({ file }) => file === undefined || !existsSync(file))
    .map((tool) => tool.package);
}

export function hasApt() {
  return findCommand('apt-get') !== null && findCommand('dpkg-deb') !== null;
}

/** Throws a Failure with one sentence if packages cannot be installed here. */
export function requireApt(packages) {
  const list = packages.join(' ');
  if (!hasApt()) {
    throw new Failure(
      `This is not a Debian or Ubuntu system: install the equivalents of these packages, then run this command again: ${list}.`,
    );
  }
  if (process.getuid() !== 0) {
    throw new Failure(
      `Packages are missing and only root can install them: run \`sudo apt-get install ${list}\`, or run this command as root.`,
    );
  }
}

let listsAreFresh = false;

async function updateLists(packages) {
  if (listsAreFresh) return;
  try {
    await apt('update');
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(
      `The package servers cannot be reached, and these packages are needed: ${packages.join(' ')}. Check the network and the proxy settings of apt (\`apt-get update\` must work).\n${error.message}`,
    );
  }
  listsAreFresh = true;
}

export async function installPackages(packages) {
  requireApt(packages);
  await updateLists(packages);
  await apt('install', '--yes', '--no-install-recommends', ...packages);
}

function apt(...args) {
  const waitForOthers = ['-o', 'DPkg::Lock::Timeout=120'];
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  return run('apt-get', ['-q', ...waitForOthers, ...args], options);
}

/** The path of a statically linked busybox: the host's, or one that was unpacked below build/. null if there is neither. */
export function findBusybox() {
  const candidates = [findCommand('busybox'), join(BUILD.packages, 'busybox-static/bin/busybox')];
  // Newer packages have merged /bin into /usr/bin.
  candidates.push(join(BUILD.packages, 'busybox-static/usr/bin/busybox'));
  return candidates.find((file) => file !== null && existsSync(file) && isStatic(file)) ?? null;
}

/** A dynamically linked ELF file names its loader in a PT_INTERP header (type 3). */
function isStatic(file) {
  const elf = readFileSync(file);
  if (elf.toString('latin1', 0, 5) !== '\x7fELF\x02') return false;
  const tableOffset = Number(elf.readBigUInt64LE(0x20));
  for (let index = 0; index < elf.readUInt16LE(0x38); index += 1) {
    if (elf.readUInt32LE(tableOffset + index * elf.readUInt16LE(0x36)) === 3) return false;
  }
  return true;
}

/** Unpacks busybox-static below build/packages. */
export async function fetchBusybox() {
  const { busybox } = packagesFor();
  requireApt([busybox]);
  await updateLists([busybox]);
  await unpackPackage(busybox, join(BUILD.packages, 'busybox-static'));
}

/** fetchKernel() puts boot/ and the modules below this directory. */
export const KERNEL_ROOT = join(BUILD.packages, 'kernel');

/** Unpacks a kernel made for guests below KERNEL_ROOT. */
export async function fetchKernel() {
  const { kernel } = packagesFor();
  requireApt([kernel[0]]);
  await updateLists([kernel[0]]);
  for (const name of kernelPackages(kernel)) await unpackPackage(name, KERNEL_ROOT);
}

/** The packages behind a kernel meta-package: the image and, on Ubuntu, its modules. */
function kernelPackages(metaPackages) {
  for (const metaPackage of metaPackages) {
    const images = dependencies(metaPackage).filter((name) => name.startsWith('linux-image-'));
    if (images.length === 0) continue;
    const modules = dependencies(images[0]).filter((name) => name.startsWith('linux-modules-'));
    return [images[0], ...modules];
  }
  throw new Failure(
    `None of these kernel packages is available here: ${metaPackages.join(', ')}. Install a kernel made for virtual machines yourself, then run this command again.`,
  );
}

/** The dependencies of a package; none if apt does not know it. */
function dependencies(name) {
  const result = spawnSync('apt-cache', ['depends', name], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  return [...result.stdout.matchAll(/^\s*\|?Depends: (\S+)$/gm)].map((match) => match[1]);
}

async function unpackPackage(name, directory) {
  mkdirSync(BUILD.packages, { recursive: true });
  const download = mkdtempSync(join(BUILD.packages, 'download-'));
  try {
    await run('apt-get', ['-q', '-o', 'APT::Sandbox::User=root', 'download', name], {
      cwd: download,
    });
    const file = readdirSync(download).find((entry) => entry.endsWith('.deb'));
    await run('dpkg-deb', ['-x', join(download, file), directory]);
  } finally {
    rmSync(download, { recursive: true, force: true });
  }
}
