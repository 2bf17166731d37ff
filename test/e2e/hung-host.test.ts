// e2e: a daemon whose host does not respond: pipes in place of files, too few descriptors, a full disk. Everything else
// continues, health reports it, and the daemon ends on request.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config/limits.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { until, untilPasses } from '../helpers/until.ts';
import { type Daemon, signalVm, startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
const NAMES = ['a', 'b', 'c', 'd'];

async function health(daemon: Daemon) {
  const { status, body } = await daemon.call('GET', '/healthz');
  return { ...body, status } as { status: number; reasons?: string[]; warnings?: string[] };
}

/** SIGTERM must end it, and with the status of an end that was asked for. */
async function assertEnds(daemon: Daemon): Promise<void> {
  const startedMs = performance.now();
  assert.equal(await daemon.terminate(), 0, daemon.log());
  const tookMs = performance.now() - startedMs;
  const boundMs = LIMITS.jobsEndMs + LIMITS.threadEndMs + LIMITS.storeEndMs + 5_000;
  assert.ok(tookMs < boundMs, `it took ${tookMs} ms`);
}

/** Connections that say nothing. */
async function idleConnections(t: TestContext, url: string, count: number): Promise<Socket[]> {
  const { port, hostname } = new URL(url);
  const sockets = Array.from({ length: count }, () => connect(Number(port), hostname));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(
    sockets.map(async (socket) => {
      socket.on('error', () => undefined);
      await once(socket, 'connect');
    }),
  );
  return sockets;
}

/** Processor time of the daemon, in ticks of 10 ms. */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** A stall of the daemon on a host that is busy is reported for some seconds. */
const isWell = (daemon: Daemon) =>
  untilPasses(async () => assert.deepEqual(await health(daemon), { status: 200 }));

suite('a host that does not answer', () => {
  test('logs that became pipes hold nobody up', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const vms = await Promise.all(NAMES.map((name) => daemon.createVm(name)));
    for (const { id, pid } of vms) {
      const log = join(daemon.home, 'run', String(id), 'hypervisor.log');
      rmSync(log);
      execFileSync('mkfifo', [log]);
      process.kill(pid ?? 0, 'SIGKILL');
    }
    await Promise.all(NAMES.map((name) => daemon.waitFor(name, 'crashed')));
    await daemon.createVm('after');
    await isWell(daemon);
    await assertEnds(daemon);
  });

  test('jobs that hang forever: others continue, they are given up, health reports it, SIGTERM ends it', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const vms = await Promise.all(NAMES.map((name) => daemon.createVm(name)));
    await Promise.all(NAMES.map((name) => daemon.call('POST', `/api/v1/vms/${name}/stop`)));
    for (const { id } of vms) {
      // What the VM is made of is read before each start.
      const directory = join(daemon.home, 'disks', String(id));
      mkdirSync(directory, { recursive: true });
      execFileSync('mkfifo', [join(directory, 'root.base.json')]);
    }
    // Each is answered as failed, or cut off by the end of the daemon.
    void Promise.allSettled(NAMES.map((name) => daemon.call('POST', `/api/v1/vms/${name}/start`)));
    await pause(500);
    const startedMs = performance.now();
    await daemon.createVm('after');
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs < LIMITS.jobReadMs, `it waited ${tookMs} ms for those that hang`);
    await until('they are given up', async () => (await health(daemon)).warnings !== undefined);
    await untilPasses(async () => {
      const { status, warnings } = await health(daemon);
      assert.deepEqual([status, warnings], [200, ['JOBS_HANGING']]);
    });
    assert.match(daemon.log(), /"job":"recallImages".*a job has passed its deadline/);
    await assertEnds(daemon);
    for (const { id } of vms) {
      rmSync(join(daemon.home, 'disks', String(id)), { recursive: true });
    }
    await daemon.start();
    assert.equal((await daemon.getVm('after')).status, 'running');
  });

  test('with 220 open files and 400 idle connections', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const daemon = await startDaemon(t, SIMULATOR, { openFiles: 220 });
    const first = await daemon.createVm('first');
    const sockets = await idleConnections(t, daemon.url, 400);
    await pause(1_500);
    const ticks = ticksOf(daemon.pid());
    await pause(1_000);
    assert.ok(ticksOf(daemon.pid()) - ticks < 50, 'it is busy with nothing');
    assert.ok(readdirSync(`/proc/${daemon.pid()}/fd`).length < 200, 'it has descriptors left');
    signalVm(first, 'SIGKILL');
    // Idle connections are closed after a while, and then there is room.
    const answered = async (work: () => Promise<unknown>) => {
      try {
        await work();
        return true;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        return false;
      }
    };
    await until('a create is answered', () => answered(() => daemon.createVm('second')));
    await until('the end is known', () => answered(() => daemon.waitFor('first', 'crashed')));
    for (const socket of sockets) socket.destroy();
    await until('there is room again', () => answered(() => daemon.createVm('third')));
    await isWell(daemon);
    assert.match(daemon.log(), /too many connections/);
    assert.doesNotMatch(daemon.log(), /EMFILE|cannot continue/);
    await assertEnds(daemon);
  });

  test('SIGHUP changes nothing; SIGTERM ends it with streams open, a second one at once', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const daemon = await startDaemon(t, SIMULATOR);
    process.kill(daemon.pid(), 'SIGHUP');
    const stream = await fetch(`${daemon.url}/api/v1/events/vms`);
    assert.equal(stream.status, 200);
    await until('the signal is logged', async () => daemon.log().includes('SIGHUP'));
    await assertEnds(daemon);
    await daemon.start();
    const { port, hostname } = new URL(daemon.url);
    const slow = connect(Number(port), hostname);
    t.after(() => slow.destroy());
    // A body that does not come keeps the drain waiting.
    const head = ['POST /api/v1/vms HTTP/1.1', 'Host: localhost', 'Content-Length: 9', '', ''];
    slow.on('error', () => undefined);
    await once(slow, 'connect');
    slow.write(head.join('\r\n'));
    // It has read the head when it has answered what came later.
    await health(daemon);
    process.kill(daemon.pid(), 'SIGTERM');
    await until('it drains', async () => daemon.log().includes('draining'));
    const startedMs = performance.now();
    assert.equal(await daemon.terminate(), 1);
    assert.ok(performance.now() - startedMs < LIMITS.drainTimeoutMs / 2, 'it does not drain on');
  });

  test('a full disk is reported though nobody writes, and so is its end', async (t) => {
    if (!requireCapability(t, 'root', 'tun', 'netns')) return;
    const disk = `/tmp/volant-e2e-small-${process.pid}`;
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'none', disk]);
    const cleanUp = () => {
      execFileSync('umount', ['-l', disk]);
      rmSync(disk, { recursive: true });
    };
    const daemon = await startDaemon(t, { ...SIMULATOR, VOLANT_DB_PATH: disk }).catch((error) => {
      cleanUp();
      throw error;
    });
    // After the daemon's own teardown, which makes the directory when it is not there.
    t.after(cleanUp);
    await isWell(daemon);
    const ballast = join(disk, 'ballast');
    execFileSync('sh', ['-c', 'cat /dev/zero >"$0" 2>/dev/null || true', ballast]);
    await until('health reports it', async () => (await health(daemon)).status === 503);
    assert.match((await health(daemon)).reasons?.join() ?? '', /^(DISK_FULL|STORE_UNAVAILABLE)$/);
    rmSync(ballast);
    await until('health reports its end', async () => (await health(daemon)).status === 200);
  });
});
