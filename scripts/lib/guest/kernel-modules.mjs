// scripts: collects kernel modules from a /lib/modules/<version> directory: dependencies first, without built-in ones,
// decompressed and without debug data.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { capture, Failure, findCommand } from '../command.mjs';

/** Modules for every machine type of the daemon: devices, disks, network, console, power button. */
export const DEFAULT_MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_mmio',
  'virtio_pci',
  'virtio_net',
  'virtio_blk',
  'virtio_console',
  'virtio-rng',
  'vmw_vsock_virtio_transport',
  'button',
  'evdev',
];

/** Additional modules for an image that mounts a root disk: the usual file systems, and what programs with containers mount. */
export const ROOT_DISK_MODULES = [
  ...DEFAULT_MODULES,
  'crc32c_generic',
  'ext4',
  'overlay',
  'squashfs',
  'vfat',
  'nls_cp437',
  'nls_ascii',
];

const MODULE_FILE = /\.ko(\.xz|\.zst|\.gz)?$/;

/**
 * Modules in load order: [{ name, content }]. `name` is the file's name without its extension. Throws a Failure if a module
 * is neither built in nor a file.
 */
export function collectModules(modulesDirectory, wanted) {
  const builtin = namesIn(readLines(join(modulesDirectory, 'modules.builtin')));
  const files = indexFiles(modulesDirectory);
  const loaded = new Map();
  const visit = (name) => {
    const key = kernelName(name);
    if (loaded.has(key) || builtin.has(key)) return;
    const file = files.get(key);
    if (file === undefined) {
      throw new Failure(
        `The kernel in ${modulesDirectory} has no module ${name}: choose another kernel.`,
      );
    }
    const content = unpack(file);
    for (const needed of dependencies(content)) visit(needed);
    loaded.set(key, { name: basename(file).replace(MODULE_FILE, ''), content });
  };
  for (const name of wanted) visit(name);
  return withoutDebugData([...loaded.values()]);
}

/** The kernel treats "-" and "_" in module names as equal. */
function kernelName(name) {
  return name.replaceAll('-', '_');
}

function namesIn(paths) {
  return new Set(paths.map((path) => kernelName(basename(path).replace(MODULE_FILE, ''))));
}

function readLines(file) {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
}

function indexFiles(modulesDirectory) {
  const root = join(modulesDirectory, 'kernel');
  if (!existsSync(root)) throw new Failure(`${root} does not exist: run npm run setup.`);
  const files = readdirSync(root, { recursive: true }).filter((path) => MODULE_FILE.test(path));
  return new Map(
    files.map((path) => [kernelName(basename(path).replace(MODULE_FILE, '')), join(root, path)]),
  );
}

function unpack(file) {
  const content = readFileSync(file);
  if (file.endsWith('.gz')) return gunzipSync(content);
  if (file.endsWith('.xz')) return capture('xz', ['-dc'], { input: content });
  if (file.endsWith('.zst')) return capture('zstd', ['-dc'], { input: content });
  return content;
}

/**
 * The dependencies of a module: the "depends=" text in its .modinfo section, which the kernel's build writes into every
 * module. modules.dep has the same data, but depmod creates it at installation, so an unpacked package has none.
 */
function dependencies(content) {
  const at = content.indexOf('\0depends=');
  if (at < 0) return [];
  const end = content.indexOf(0, at + 1);
  const list = content.toString('latin1', at + '\0depends='.length, end);
  return list.split(',').filter(Boolean);
}

function withoutDebugData(modules) {
  const strip = findCommand('strip');
  if (strip === null) return modules;
  const directory = mkdtempSync(join(tmpdir(), 'volant-modules-'));
  try {
    return modules.map(({ name, content }) => {
      const file = join(directory, `${name}.ko`);
      writeFileSync(file, content);
      // This also removes a signature at the end; these kernels load unsigned modules.
      capture(strip, ['--strip-debug', file]);
      return { name, content: readFileSync(file) };
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
