// What a plugin's author relies on in the agent before the workload runs: its disks are mounted first, and
// when they cannot be, the reason is reported and nothing is started. Which file system a disk has is known
// from its first bytes, whatever they are.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { buildHostAgent, temporaryDirectory } from './programs.ts';
import { manifestFor, type ServedAgent, serveAgent } from './served-agent.ts';

const AGENT = join(PROJECT_ROOT, 'native/guest');

/** Tells for each file of its arguments what it is taken for. */
const PROBE = `
#include <stdio.h>
#include "base/console.h"
#include "system/filesystem.h"

bool console_write(const char *text, size_t length) {
  return fwrite(text, 1, length, stderr) == length;
}

int main(int count, char **arguments) {
  char why[128];
  for (int i = 1; i < count; i++) {
    const char *type = filesystem_probe(arguments[i], why, sizeof why);
    puts(type != NULL ? type : why);
  }
}
`;

/** A manifest whose workload would say that it was started. */
function withMounts(mounts: unknown): string {
  const manifest = JSON.parse(manifestFor(null, { entrypoint: ['/bin/sleep', '1000'] }));
  return JSON.stringify({ ...manifest, mounts });
}

/** The reason of the failure that the agent comes to, without ever starting the workload. */
async function failure(agent: ServedAgent): Promise<string> {
  const status = await agent.until(({ state, pid }) => {
    assert.ok(pid === 0 && (state === 'starting' || state === 'failed'), `it is ${state}`);
    return state === 'failed';
  });
  return status.last_exit;
}

suite('disks of the agent', () => {
  const undo: (() => void)[] = [];
  let directory = '';
  let program = '';
  let prober = '';

  before(() => {
    directory = temporaryDirectory({ after: (done) => undo.push(done as () => void) });
    program = buildHostAgent();
    prober = join(directory, 'probe');
    writeFileSync(`${prober}.c`, PROBE);
    const sources = ['base/files.c', 'base/say.c', 'system/filesystem.c'].map((name) =>
      join(AGENT, name),
    );
    const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-D_GNU_SOURCE'];
    execFileSync('gcc', [...checks, '-I', AGENT, '-o', prober, `${prober}.c`, ...sources]);
  });
  after(() => {
    for (const step of undo) step();
  });

  /** What a disk of 128 KiB is taken for that has these texts at these places. */
  function probed(...texts: readonly (readonly [at: number, text: string])[]): string {
    const bytes = Buffer.alloc(128 * 1024);
    for (const [at, text] of texts) bytes.write(text, at, 'latin1');
    const file = join(directory, 'disk');
    writeFileSync(file, bytes);
    const found = execFileSync(prober, [file], { encoding: 'utf8' }).trim();
    rmSync(file);
    return found;
  }

  test('each file system is known by its mark', () => {
    assert.equal(probed([0x438, '\x53\xef']), 'ext4');
    assert.equal(probed([0, 'XFSB']), 'xfs');
    assert.equal(probed([0x10040, '_BHRfS_M']), 'btrfs');
    assert.equal(probed([0, 'hsqs']), 'squashfs');
    assert.equal(probed([1024, '\xe2\xe1\xf5\xe0']), 'erofs');
    assert.equal(probed([32769, 'CD001']), 'iso9660');
    assert.equal(probed([82, 'FAT32   '], [510, '\x55\xaa']), 'vfat');
    assert.equal(probed([54, 'FAT16   '], [510, '\x55\xaa']), 'vfat');
    assert.equal(probed([54, 'FAT12   '], [510, '\x55\xaa']), 'vfat');
  });

  test('a boot sector before a file system does not hide it', () => {
    assert.equal(probed([510, '\x55\xaa'], [0x438, '\x53\xef']), 'ext4');
    assert.equal(probed([510, '\x55\xaa'], [32769, 'CD001']), 'iso9660');
  });

  test('a disk without a file system is distinguished from one with partitions', () => {
    assert.equal(probed(), 'it has no file system that is known');
    assert.equal(probed([510, '\x55\xaa']), 'it is divided into partitions (MBR)');
    const gpt = probed([510, '\x55\xaa'], [512, 'EFI PART']);
    assert.equal(gpt, 'it is divided into partitions (GPT)');
  });

  test('a disk that is too short for a superblock, or is not there, is no error of the agent', () => {
    const file = join(directory, 'short');
    writeFileSync(file, 'XF');
    const output = execFileSync(prober, [file, join(directory, 'none')], { encoding: 'utf8' });
    assert.deepEqual(output.trim().split('\n'), [
      'it has no file system that is known',
      'No such file or directory',
    ]);
  });

  test('a file system made by mke2fs is found', (t) => {
    if (!requireCapability(t, 'mke2fs')) return;
    const file = join(directory, 'ext');
    execFileSync('mke2fs', ['-q', '-F', '-t', 'ext2', file, '2M'], { stdio: 'pipe' });
    assert.equal(execFileSync(prober, [file], { encoding: 'utf8' }), 'ext4\n');
  });

  test('a workload without mounts is started at once', async (t) => {
    for (const mounts of [null, []]) {
      const agent = await serveAgent(t, program);
      assert.equal((await agent.ask('PUT', '/agent/manifest', withMounts(mounts))).status, 204);
      assert.ok((await agent.workload()).pid > 0);
    }
  });

  test('a disk that does not appear fails the workload, and the agent answers meanwhile', async (t) => {
    const agent = await serveAgent(t, program);
    const mounts = [{ serial: 'volant-no-such', target: '/volant-no-such' }];
    const startedMs = performance.now();
    assert.equal((await agent.ask('PUT', '/agent/manifest', withMounts(mounts))).status, 204);
    assert.equal(
      await failure(agent),
      'disk volant-no-such cannot be mounted at /volant-no-such: there is no such disk',
    );
    assert.ok(performance.now() - startedMs > 4000, 'it has not waited for the disk');
  });

  test('a malformed mount fails the workload at once', async (t) => {
    const incomplete = 'a mount of the manifest needs a serial and an absolute target';
    const cases: (readonly [unknown, string])[] = [
      ['data', 'the mounts of the manifest are not a list'],
      [['data'], incomplete],
      [[{ target: '/data' }], incomplete],
      [[{ serial: 'data' }], incomplete],
      [[{ serial: 'data', target: 'data' }], incomplete],
      [[{ serial: 7, target: '/data' }], incomplete],
    ];
    for (const [mounts, sentence] of cases) {
      const agent = await serveAgent(t, program);
      assert.equal((await agent.ask('PUT', '/agent/manifest', withMounts(mounts))).status, 204);
      assert.equal(await failure(agent), sentence);
    }
  });
});
