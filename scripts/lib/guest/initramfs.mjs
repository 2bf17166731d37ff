// scripts: builds the initramfs of a guest: the agent as /init, busybox, kernel modules and the user's own files. The
// archive is not compressed: guests boot as fast, and hypervisors can map it.

import {
  closeSync,
  existsSync,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { capture, Failure } from '../command.mjs';
import { writeCpio } from './cpio.mjs';
import { collectModules, DEFAULT_MODULES } from './kernel-modules.mjs';

/** Mount points and directories that every guest needs. */
const DIRECTORIES = { dev: 0o755, etc: 0o755, proc: 0o555, root: 0o700, run: 0o755, sys: 0o555 };
const LINKS_MAX = 16;

/**
 * Writes an initramfs. Files of an overlay win over busybox's links; later overlays win over earlier
 * ones. Paths go through symbolic links of the overlay (a tree whose /bin is a link to usr/bin works).
 *
 * - agent: path of the agent's binary, becomes /init
 * - busybox: path of a statically linked busybox; null for an image without one
 * - kernelModulesDirectory: /lib/modules/<version> of the kernel that will boot it
 * - modules: names of kernel modules, dependencies are added
 * - overlays: directories whose content becomes the root directory's
 * - output: path of the archive; replaced in one step
 *
 * Returns { bytes, modules }: the archive's size and the modules' names in load order.
 */
export async function packInitramfs({
  agent,
  busybox,
  kernelModulesDirectory,
  modules = DEFAULT_MODULES,
  overlays = [],
  output,
}) {
  const entries = new Map();
  for (const overlay of overlays) addTree(entries, overlay);
  if (entries.has('init')) {
    throw new Failure(
      'The tree has a file /init, but /init is the agent: give yours another name.',
    );
  }
  for (const [path, mode] of Object.entries(DIRECTORIES)) {
    addBelow(entries, path, { type: 'directory', mode });
  }
  addBelow(entries, 'tmp', { type: 'directory', mode: 0o1777 });
  // The kernel opens /dev/console before anything is mounted.
  entries.set('dev/console', { type: 'character', mode: 0o600, major: 5, minor: 1 });
  entries.set('dev/null', { type: 'character', mode: 0o666, major: 1, minor: 3 });
  entries.set('init', { type: 'file', mode: 0o755, content: readFileSync(agent) });
  if (busybox !== null) addBusybox(entries, busybox);
  const loadOrder = collectModules(kernelModulesDirectory, modules);
  loadOrder.forEach(({ name, content }, index) => {
    const path = `mods/${String(index).padStart(2, '0')}-${name}.ko`;
    entries.set(path, { type: 'file', mode: 0o644, content });
  });
  const bytes = writeInOneStep(output, writeCpio(entries));
  return { bytes, modules: loadOrder.map((module) => module.name) };
}

/** Adds a directory tree. Permission bits are kept; all files belong to root. */
function addTree(entries, root) {
  if (!existsSync(root)) throw new Failure(`${root} does not exist.`);
  for (const path of readdirSync(root, { recursive: true }).sort()) {
    const file = join(root, path);
    const stat = lstatSync(file);
    const mode = stat.mode & 0o7777;
    if (stat.isDirectory()) {
      if (entries.get(path)?.type !== 'directory') entries.set(path, { type: 'directory', mode });
    } else if (stat.isSymbolicLink()) {
      entries.set(path, { type: 'link', target: readlinkSync(file) });
    } else if (stat.isFile()) {
      entries.set(path, { type: 'file', mode, content: readFileSync(file) });
    } else if (!path.startsWith('dev/')) {
      throw new Failure(`${file} is neither a file, a directory nor a link: it cannot be packed.`);
    }
  }
}

/** Adds an entry if the tree has none at this path. Follows the tree's links. */
function addBelow(entries, path, entry) {
  const target = resolveDirectory(entries, path);
  if (!entries.has(target)) entries.set(target, entry);
}

function resolveDirectory(entries, path) {
  let resolved = path;
  for (let count = 0; count < LINKS_MAX; count += 1) {
    const parts = resolved.split('/');
    const at = parts.findIndex(
      (_, index) => entries.get(parts.slice(0, index + 1).join('/'))?.type === 'link',
    );
    if (at < 0 || at === parts.length - 1) return resolved;
    const { target } = entries.get(parts.slice(0, at + 1).join('/'));
    const directory = posix.resolve('/', ...parts.slice(0, at), target);
    resolved = posix.join(directory, ...parts.slice(at + 1)).slice(1);
  }
  throw new Failure(`/${path} goes through too many links.`);
}

function addBusybox(entries, busybox) {
  const program = { type: 'file', mode: 0o755, content: readFileSync(busybox) };
  addBelow(entries, 'bin/busybox', program);
  const applets = capture(busybox, ['--list']).toString().split('\n').filter(Boolean);
  for (const applet of applets) {
    addBelow(entries, `bin/${applet}`, { type: 'link', target: '/bin/busybox' });
  }
}

function writeInOneStep(output, pieces) {
  mkdirSync(dirname(output), { recursive: true });
  const temporary = `${output}.${process.pid}.new`;
  const fd = openSync(temporary, 'w', 0o644);
  let bytes = 0;
  try {
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
      bytes += piece.length;
    }
    // Readable despite the umask: hypervisors run as other users.
    fchmodSync(fd, 0o644);
    renameSync(temporary, output);
  } finally {
    closeSync(fd);
    rmSync(temporary, { force: true });
  }
  return bytes;
}
