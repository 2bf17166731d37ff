// e2e: volar cp between this machine and a real guest, with the rules of docker cp.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { describeTree } from '../helpers/tree.ts';
import { startFileGuest } from './file-guests.ts';

const NEEDS = ['root', 'netns', 'tun', 'qemu', 'kernel'] as const;

function workPlace(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-cp-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

interface Ended {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs `volar cp` in a directory of its own. */
function copier(t: TestContext, url: string) {
  const here = workPlace(t);
  const run = (args: readonly string[], input?: Buffer): Ended => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(PROJECT_ROOT, 'dist/cli/main.js'), 'cp', ...args],
      {
        cwd: here,
        env: { ...process.env, VOLANT_API_BASE: url },
        maxBuffer: 64 * 1024 ** 2,
        ...(input === undefined ? {} : { input }),
      },
    );
    return { status, stdout, stderr: stderr.toString() };
  };
  const ok = (...args: string[]): string => {
    const { status, stdout, stderr } = run(args);
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    return stdout.toString();
  };
  return { here, run, ok };
}

test('files and directories land where docker cp puts them', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { daemon, client } = await startFileGuest(t);
  const { here, run, ok } = copier(t, daemon.url);
  const names = async (path: string) =>
    (await client.files.list('one', path)).entries.map(({ name }) => name).sort();
  writeFileSync(join(here, 'f'), 'content', { mode: 0o751 });
  mkdirSync(join(here, 'd/sub'), { recursive: true });
  writeFileSync(join(here, 'd/sub/g'), randomBytes(100_000));
  writeFileSync(join(here, 'a:b'), 'colon');
  symlinkSync('f', join(here, 'link'));

  assert.match(ok('f', 'one:/disk/new'), /^Copied 7 bytes to one:\/disk\/new/);
  ok('f', 'one:disk/');
  ok('d', 'one:/disk/made');
  ok('d', 'one:/disk/made');
  ok('d/.', 'one:/disk');
  ok('./a:b', 'one:/disk/a:b');
  assert.deepEqual(await names('/disk'), ['a:b', 'f', 'made', 'new', 'sub']);
  assert.deepEqual(await names('/disk/made'), ['d', 'sub']);
  assert.equal((await client.files.stat('one', '/disk/new')).mode, '0751');
  ok('link', 'one:/disk/link');
  ok('-L', 'link', 'one:/disk/followed');
  assert.equal((await client.files.stat('one', '/disk/link', { follow: false })).target, 'f');
  assert.equal((await client.files.stat('one', '/disk/followed', { follow: false })).type, 'file');

  ok('one:/disk/a:b', 'c');
  assert.equal(readFileSync(join(here, 'c'), 'utf8'), 'colon');
  mkdirSync(join(here, 'out'));
  ok('one:/disk/new', 'out');
  ok('one:/disk/made', 'out');
  ok('one:/disk/made/.', 'whole');
  assert.deepEqual(readdirSync(join(here, 'out')).sort(), ['made', 'new']);
  assert.deepEqual(readdirSync(join(here, 'whole')).sort(), ['d', 'sub']);
  assert.equal(statSync(join(here, 'out/new')).mode & 0o777, 0o751);

  const refused: [string[], number, RegExp][] = [
    [['f', 'c'], 2, /must be in a VM/],
    [['one:/f', 'one:/g'], 2, /must be in a VM/],
    [['none', 'one:/disk'], 2, /does not exist/],
    [['f', 'one:/disk/absent/'], 2, /does not exist/],
    [['d', 'one:/disk/f'], 2, /is no directory/],
    [['one:/disk/absent', 'x'], 3, /no such file/],
    [['f', 'two:/disk'], 3, /no VM/],
    [['one:/../f', 'x'], 2, /segment/],
  ];
  for (const [args, status, reason] of refused) {
    const ended = run(args);
    assert.equal(ended.status, status, `${args.join(' ')}: ${ended.stderr}`);
    assert.match(ended.stderr, reason);
  }
});

test('a tree of 5,000 files returns as it went', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { daemon } = await startFileGuest(t);
  const { here, ok } = copier(t, daemon.url);
  for (let folder = 0; folder < 50; folder += 1) {
    mkdirSync(join(here, `tree/${folder}/${'deep/'.repeat(folder % 5)}`), { recursive: true });
    for (let file = 0; file < 100; file += 1) {
      const path = join(here, `tree/${folder}/${file}-${'n'.repeat(file)}`);
      writeFileSync(path, `${folder} ${file} `.repeat(file), { mode: file % 2 ? 0o644 : 0o700 });
    }
  }
  symlinkSync('../elsewhere', join(here, 'tree/link'));
  utimesSync(join(here, 'tree/7'), 1e9, 1e9);
  const before = describeTree(join(here, 'tree'), 1_000);
  const told = JSON.parse(ok('tree', 'one:/disk', '--json'));
  assert.equal(told.entries, before.length + 1);
  ok('-a', 'one:/disk/tree', 'back');
  assert.deepEqual(describeTree(join(here, 'back'), 1_000), before);
});

test('archives go through standard input and output, with owners if asked', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { daemon, client } = await startFileGuest(t);
  const { here, run } = copier(t, daemon.url);
  mkdirSync(join(here, 'd'));
  writeFileSync(join(here, 'd/f'), 'x');
  execFileSync('chown', ['-R', '11:12', join(here, 'd')]);
  const archive = execFileSync('tar', ['-cf', '-', '-C', here, 'd']);
  assert.equal(run(['-', 'one:/disk'], archive).status, 0);
  assert.equal((await client.files.stat('one', '/disk/d/f')).uid, 0);
  assert.equal(run(['-aq', '-', 'one:/disk'], archive).status, 0);
  assert.equal((await client.files.stat('one', '/disk/d/f')).uid, 11);
  const list = (source: string) =>
    execFileSync('tar', ['-tf', '-'], { input: run([source, '-']).stdout }).toString();
  assert.equal(list('one:/disk/d'), 'd/\nd/f\n');
  assert.equal(list('one:/disk/d/.'), './\n./f\n');
  const bad = run(['-', 'one:/disk'], Buffer.from('no archive'.repeat(200)));
  assert.equal(bad.status, 1);
  assert.match(bad.stderr, /no archive/);
});
