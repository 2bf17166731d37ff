// test: the addon as its callers see it: what it refuses, how it reports errors, and that a thread
// which ends in the middle of a call does not take the process with it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { native } from '../../src/host/jobs/native.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const ADDON = `${PROJECT_ROOT}build/Release/volant_native.node`;
const ENDED_THREADS = 60;

const directory = mkdtempSync(join(tmpdir(), 'volant-addon-'));
after(() => rmSync(directory, { recursive: true }));

/** Calls that fail, without a pause, until the thread is ended. */
function failingThread(): Worker {
  const source = `const addon = require(${JSON.stringify(ADDON)});
    for (;;) try { addon.lockFile('/nonexistent/lock'); } catch {}`;
  return new Worker(source, { eval: true });
}

describe('the addon', () => {
  it('reports an error of the system with code, errno, syscall and path', () => {
    assert.throws(() => native.lockFile('/nonexistent/lock'), {
      code: 'ENOENT',
      errno: -2,
      syscall: 'open',
      path: '/nonexistent/lock',
    });
  });

  it('says which file of VFIO there is not', () => {
    assert.throws(() => native.vfioProbeGroup('/dev/vfio/4000000'), {
      syscall: 'open',
      path: /^\/dev\/vfio\/(vfio|4000000)$/,
    });
  });

  it('refuses arguments of other types instead of guessing', () => {
    const calls = native as unknown as Record<string, (...values: unknown[]) => unknown>;
    assert.throws(() => calls['pidfdOpen']?.('1'), TypeError);
    assert.throws(() => calls['launch']?.(null), TypeError);
    assert.throws(() => calls['vfioProbeGroup']?.(7), TypeError);
    assert.throws(() => calls['tapsDelete']?.('tap0'), TypeError);
    assert.throws(() => calls['lockFile']?.('a\0b'), TypeError);
  });

  it('tells an interface name that the kernel would cut', () => {
    assert.throws(() => native.bridgeDelete('a-name-of-more-than-15'), { code: 'EINVAL' });
  });

  it('lists every interface, with what it is a port of', () => {
    const links = native.links();
    assert.deepEqual(links.map(({ name }) => name).sort(), native.linkNames().sort());
    assert.equal(links.find(({ name }) => name === 'lo')?.master, null);
    assert.throws(() => native.linkJoin('volant-none', 'lo'), { code: 'ENODEV' });
  });

  it('launches a program into its own session, with its output in the log', async () => {
    const logPath = join(directory, 'log');
    const { pid, pidfd, startTimeTicks } = native.launch({
      file: '/bin/sh',
      argv: ['sh', '-c', 'echo "$WORD in $(pwd)"; cut -d " " -f 6 /proc/$$/stat; ls /proc/$$/fd'],
      env: ['WORD=hello', 'PATH=/usr/bin:/bin'],
      cwd: directory,
      logPath,
      cgroupProcsPath: null,
      tap: null,
      controlPath: null,
      sandbox: null,
    });
    assert.ok(startTimeTicks > 0);
    const exit = new Promise<unknown>((resolve) => {
      native.exitWatchStart((token, code, signal) => resolve({ token, code, signal }));
    });
    native.exitWatchAdd(pidfd, 7);
    // The watcher does not keep a process alive by itself.
    const alive = setInterval(() => {}, 1000);
    assert.deepEqual(await exit, { token: 7, code: 0, signal: null });
    clearInterval(alive);
    native.exitWatchStop();
    const lines = readFileSync(logPath, 'utf8').trim().split('\n');
    assert.deepEqual(lines, [`hello in ${directory}`, String(pid), '0', '1', '2']);
  });

  it('gives a program a socket that a client can connect to at once', async () => {
    const options = {
      file: '/bin/sleep',
      argv: ['sleep', '60'],
      env: [],
      cwd: directory,
      logPath: join(directory, 'socket-log'),
      cgroupProcsPath: null,
      tap: null,
      controlPath: join(directory, 'control.sock'),
      sandbox: null,
    };
    const { pid, pidfd } = native.launch(options);
    try {
      const client = connect(options.controlPath);
      await once(client, 'connect');
      client.destroy();
      assert.deepEqual(readdirSync(`/proc/${pid}/fd`), ['0', '1', '2', '4']);
      assert.equal(statSync(options.controlPath).mode & 0o777, 0o600);
      assert.throws(() => native.launch(options), { code: 'EADDRINUSE', syscall: 'bind' });
      const controlPath = join(directory, 'x'.repeat(108));
      assert.throws(() => native.launch({ ...options, controlPath }), { code: 'ENAMETOOLONG' });
    } finally {
      native.pidfdSignal(pidfd, constants.signals.SIGKILL);
      native.closeFd(pidfd);
    }
  });

  it('reports a program that is not there in the call itself', () => {
    const options = {
      file: '/nonexistent/program',
      argv: ['program'],
      env: [],
      cwd: directory,
      logPath: join(directory, 'none'),
      cgroupProcsPath: null,
      tap: null,
      controlPath: null,
      sandbox: null,
    };
    assert.throws(() => native.launch(options), { code: 'ENOENT', path: '/nonexistent/program' });
  });

  it('gives a lock once', () => {
    const path = join(directory, 'lock');
    const first = native.lockFile(path);
    assert.ok('fd' in first);
    assert.deepEqual(native.lockFile(path), { heldBy: process.pid });
    native.closeFd(first.fd);
  });

  it('survives threads that are ended in the middle of a call', async () => {
    for (let count = 0; count < ENDED_THREADS; count += 1) {
      const thread = failingThread();
      await new Promise((resolve) => thread.once('online', resolve));
      await sleep(count % 20);
      await thread.terminate();
    }
  });
});
