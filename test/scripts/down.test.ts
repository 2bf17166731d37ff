// scripts: `npm run down` ends a daemon and nothing else, whatever its lock file says.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

function homeOf(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'volant-down-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

function down(home: string, ...args: string[]): string {
  return execFileSync(process.execPath, [join(PROJECT_ROOT, 'scripts/down.mjs'), ...args], {
    env: { ...process.env, VOLANT_HOME: home },
    encoding: 'utf8',
  });
}

function sleeper(t: TestContext, lockFile: string | null) {
  const lock = lockFile === null ? 'ignore' : openSync(lockFile, 'a');
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', lock] });
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  return { pid: child.pid, child, ended };
}

test('without a daemon there is nothing to end', (t) => {
  const home = homeOf(t);
  assert.match(down(home), /does not run/);
  assert.match(down(join(home, 'missing')), /does not run/);
});

test('a pid in the lock file that belongs to somebody else is left alone', (t) => {
  const home = homeOf(t);
  const { pid, child } = sleeper(t, null);
  writeFileSync(join(home, 'volantd.lock'), `${pid}\n`);
  assert.match(down(home), /does not run/);
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test('the process that holds the lock is ended', async (t) => {
  const home = homeOf(t);
  const lockFile = join(home, 'volantd.lock');
  const { pid, ended } = sleeper(t, lockFile);
  writeFileSync(lockFile, `${pid}\n`);
  assert.match(down(home), new RegExp(`ended, pid ${pid}`));
  assert.equal(await ended, 'SIGTERM');
});

test('what it does not know it refuses', (t) => {
  assert.throws(() => down(homeOf(t), '--everything'), /npm run down -- --all/);
});
