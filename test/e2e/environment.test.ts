// e2e: the environment of a workload is the one of docs/agent.md, in an image and on a root disk: the workload itself runs
// the commands of the table.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { makeRootDisk } from './root-disk-image.ts';

const WAIT_MS = 60_000;

type Line = readonly [command: string, prints: string];

function documented(): readonly Line[] {
  const page = readFileSync(join(PROJECT_ROOT, 'docs/agent.md'), 'utf8');
  const [, section = ''] = page.split('### What a workload finds');
  const [, after = ''] = section.split('|---|---|---|\n');
  const [table = ''] = after.split('\n\n');
  return table.split('\n').map((line) => {
    const [, command, prints] = /^\| `([^|`]+)` \| `([^|`]+)` \| /.exec(line) ?? [];
    assert.ok(command && prints, line);
    return [command, prints];
  });
}

/** What the workload of a new VM prints for each command. */
async function printed(daemon: Daemon, name: string, image: object): Promise<readonly Line[]> {
  const commands = documented().map(([command]) => command);
  const script = commands.map((command) => `echo "line $(${command} 2>&1)"\n`).join('');
  const manifest = {
    name,
    version: '1',
    resources: { cpu_cores: 1, memory_mb: 160 },
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:8000',
      entrypoint: ['/bin/sh', '-c', `${script}echo all done\nexec sleep 100000`],
    },
    ...image,
  };
  const installed = await daemon.call('POST', '/api/v1/plugins', manifest);
  assert.equal(installed.status, 201, installed.text);
  const { id } = await daemon.createVm(name, { plugin: name });
  const path = join(daemon.home, 'run', String(id), 'console.log');
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const text = readFileSync(path, 'utf8');
    const lines = [...text.matchAll(/^line (.*?)\r?$/gm)].map(([, line = '']) => line);
    if (text.includes('all done')) return commands.map((command, at) => [command, lines[at] ?? '']);
    assert.ok(Date.now() < deadline, text);
    await pause(100);
  }
}

test('a workload finds what docs/agent.md says: in an image', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const url = `file://${join(daemon.home, 'images/hello.cpio')}`;
  assert.deepEqual(await printed(daemon, 'image', { initramfs: { url } }), documented());
});

test('a workload finds what docs/agent.md says: on a root disk', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const url = makeRootDisk(daemon.home);
  assert.deepEqual(await printed(daemon, 'disk', { rootfs: { url } }), documented());
});
