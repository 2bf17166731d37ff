// scripts: modules are unpacked and in load order, with every compression of distributions.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { requireCapability } from '../helpers/capabilities.ts';
import { loadScript } from './load.ts';

interface Module {
  readonly name: string;
  readonly content: Buffer;
}

const { collectModules, DEFAULT_MODULES, ROOT_DISK_MODULES } = await loadScript<{
  collectModules(directory: string, wanted: readonly string[]): Module[];
  DEFAULT_MODULES: readonly string[];
  ROOT_DISK_MODULES: readonly string[];
}>('lib/guest/kernel-modules.mjs');
const { guestKernel } = await loadScript<{
  guestKernel(): Promise<{ modulesDirectory: string }>;
}>('setup.mjs');

const through = (command: string) => (content: Buffer) =>
  execFileSync(command, ['-c'], { input: content });

/** Debian 12 has plain modules, Debian 13 xz, Ubuntu 24.04 zstd. */
const COMPRESSIONS: Readonly<Record<string, (content: Buffer) => Buffer>> = {
  '': (content) => content,
  '.gz': (content) => gzipSync(content),
  '.xz': through('xz'),
  '.zst': through('zstd'),
};

/** The smallest object file that `strip` accepts: it says which modules this one needs. */
function moduleThatNeeds(directory: string, needed: string): Buffer {
  const source = join(directory, 'module.s');
  const object = join(directory, 'module.o');
  const text = `.section .modinfo,"a"\n.asciz "license=GPL"\n.asciz "depends=${needed}"\n`;
  writeFileSync(source, text);
  execFileSync('as', ['-o', object, source]);
  return execFileSync('cat', [object]);
}

for (const [ending, compress] of Object.entries(COMPRESSIONS)) {
  test(`modules named *.ko${ending} are unpacked, and what they need comes first`, (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'volant-modules-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const add = (path: string, needed: string) => {
      const file = join(directory, 'kernel', `${path}.ko${ending}`);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, compress(moduleThatNeeds(directory, needed)));
    };
    add('net/card', 'bus-core,builtin');
    add('drivers/bus-core', '');
    writeFileSync(join(directory, 'modules.builtin'), 'kernel/lib/builtin.ko\n');
    const modules = collectModules(directory, ['card']);
    assert.deepEqual(
      modules.map(({ name }) => name),
      ['bus-core', 'card'],
    );
    for (const { content } of modules) assert.equal(content.toString('latin1', 0, 4), '\x7fELF');
  });
}

test('the guest kernel of this system has every module, built in or as a file', async (t) => {
  if (!requireCapability(t, 'kernel')) return;
  const { modulesDirectory } = await guestKernel();
  for (const wanted of [DEFAULT_MODULES, ROOT_DISK_MODULES]) {
    const modules = collectModules(modulesDirectory, wanted);
    assert.ok(modules.some(({ name }) => name === 'virtio_net'));
    for (const { content } of modules) assert.equal(content.toString('latin1', 0, 4), '\x7fELF');
  }
});
