// What whoever moves images here from another program relies on: the file system is the one that others make of the same
// layers, file by file: umoci, and Python's tarfile for a single layer.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { requireCapability } from '../../../helpers/capabilities.ts';
import { directory, tar, writeLayout } from './image-maker.ts';
import { listing, unpacked } from './workshop.ts';

/** A directory of the host as tar: real programs, links, modes and owners. */
function realLayer(home: string, ...more: readonly string[]): Buffer {
  const tree = join(home, 'tree');
  mkdirSync(tree);
  const script = `set -e
mkdir -p usr/bin usr/lib etc var/lib/app opt tmp
cp -a /usr/lib/python3*/email usr/lib/
cp -a /usr/bin/du /usr/bin/dd usr/bin/
chmod 4755 usr/bin/du; chmod 2755 usr/bin/dd; chmod 1777 tmp
ln usr/bin/du usr/bin/du-again; ln -s usr/bin bin; ln -s /no/where dangling; ln -s ../usr/bin/dd opt/up
chown 1000:2000 var/lib/app; chown -h 5:6 dangling
mkfifo var/fifo; mknod var/null c 1 3; chmod 666 var/null
printf x | dd of=var/sparse bs=1 seek=1000000 2>/dev/null
touch -d '2001-02-03 04:05:06' etc; mkdir -p "$(printf 'a%.0s' $(seq 200))/deep"; echo ü >"var/ümlaut file"`;
  execFileSync('sh', ['-c', script], { cwd: tree });
  const flags = [...more, '--numeric-owner', '--format=gnu', '-C', tree, '-c', '.'];
  return execFileSync('tar', flags, { maxBuffer: 2 ** 28 });
}

/** The entry of a hard link has the time of its file, as tar writes it. */
const DU_SECONDS = Math.floor(statSync('/usr/bin/du').mtimeMs / 1000);

const SECOND = tar(
  { path: './usr/bin/.wh.dd' },
  directory('./usr/lib/email/'),
  { path: './usr/lib/email/.wh..wh..opq' },
  { path: './usr/lib/email/only.py', content: 'only', uid: 7, gid: 8, mode: 0o640 },
  { path: './usr/bin/new', type: '1', target: 'usr/bin/du', mode: 0o4755, mtime: DU_SECONDS },
  { path: './var/null', content: 'a file now' },
);

/** Without the times of these kinds, which another program does not set as the layer says. */
function comparable(root: string, kind: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(listing(root)).map(([path, text]) => [
      path,
      text.startsWith(kind) ? text.replace(/ \d*( same as .*)?$/, '') : text,
    ]),
  );
}

function scratch(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'volant-peers-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

test('layers become what umoci makes of them', async (t) => {
  if (!requireCapability(t, 'root', 'mke2fs', 'umoci')) return;
  const home = scratch(t);
  const layers = [realLayer(home), SECOND].map((layer) => ({
    tar: layer,
    packed: gzipSync(layer, { level: 1 }),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
  }));
  writeLayout(join(home, 'layout'), {
    layers,
    change: (document, what) => {
      // umoci finds an image by its name only.
      if (what === 'manifest') document['annotations'] = {};
    },
  });
  nameImage(join(home, 'layout'));
  const bundle = join(home, 'bundle');
  const done = spawnSync('umoci', ['unpack', '--image', `${join(home, 'layout')}:it`, bundle]);
  assert.equal(done.status, 0, String(done.stderr));
  const { root } = await unpacked(t, layers);
  const ours = comparable(root, 'directory');
  assert.deepEqual(ours, comparable(join(bundle, 'rootfs'), 'directory'));
  assert.ok(Object.keys(ours).length > 20);
});

test('one layer becomes what Python’s tarfile makes of it', async (t) => {
  if (!requireCapability(t, 'root', 'mke2fs', 'python3')) return;
  const home = scratch(t);
  const layer = realLayer(home, '--sparse');
  writeFileSync(join(home, 'layer.tar'), layer);
  const script = `import os, tarfile
os.umask(0)
tarfile.open('layer.tar').extractall('out', numeric_owner=True)`;
  execFileSync('python3', ['-W', 'ignore', '-c', script], { cwd: home });
  const { root } = await unpacked(t, [{ tar: layer }]);
  assert.deepEqual(comparable(root, 'link'), comparable(join(home, 'out'), 'link'));
});

function nameImage(layout: string): void {
  const script = `import json
path = 'index.json'
index = json.load(open(path))
index['manifests'][0]['annotations'] = {'org.opencontainers.image.ref.name': 'it'}
json.dump(index, open(path, 'w'))`;
  execFileSync('python3', ['-c', script], { cwd: layout });
}
