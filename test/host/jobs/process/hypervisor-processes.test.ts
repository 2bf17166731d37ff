// Which processes of the host are hypervisors of a home: those that lead a session, work in a run directory of it, and name
// the pid file there. Real processes that have all of it, or all but one thing.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RUN_FILES } from '../../../../src/engine/ports/hypervisor-ports.ts';
import { native } from '../../../../src/host/jobs/native.ts';
import {
  findHypervisors,
  openHypervisors,
} from '../../../../src/host/jobs/process/hypervisor-processes.ts';
import { claimRunDirectory } from '../../../../src/host/jobs/process/run-directory.ts';
import type { HostSettings } from '../../../../src/host/jobs/protocol.ts';
import { requireCapability } from '../../../helpers/capabilities.ts';

const HOME = 'home-of-this-test';

class World {
  readonly run: string;
  readonly #t: TestContext;

  constructor(t: TestContext) {
    this.#t = t;
    this.run = mkdtempSync(join(tmpdir(), 'volant-run-'));
    t.after(() => rmSync(this.run, { recursive: true }));
  }

  directory(id: number | string, homeId: string = HOME): string {
    const directory = join(this.run, String(id));
    mkdirSync(directory, { recursive: true });
    claimRunDirectory(directory, homeId);
    return directory;
  }

  /** A process that does nothing, with these arguments. */
  async process(cwd: string, args: readonly string[], detached = true): Promise<ChildProcess> {
    const idle = 'setInterval(() => undefined, 1000); console.log("ready")';
    const child = spawn(process.execPath, ['-e', idle, '--', ...args], { cwd, detached });
    this.#t.after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    });
    await once(child.stdout, 'data');
    return child;
  }

  hypervisor(id: number, option = '-pidfile'): Promise<ChildProcess> {
    return this.process(this.directory(id), [
      option,
      join(this.run, String(id), RUN_FILES.pidFile),
    ]);
  }

  found(homeId: string | null = HOME): readonly (readonly [vmId: number, pid: number])[] {
    const all = findHypervisors(this.run, homeId);
    return all.map(({ vmId, identity }) => [vmId, identity.pid] as const).sort(([a], [b]) => a - b);
  }

  open(...hypervisors: Parameters<typeof openHypervisors>[0]['hypervisors']) {
    const settings = { runtimeDirectory: this.run, homeId: HOME } as HostSettings;
    return openHypervisors({ settings, hypervisors }).pidfds;
  }
}

test('hypervisors are found by either option, and nothing that only looks like one', async (t) => {
  const world = new World(t);
  const one = await world.hypervisor(1);
  const two = await world.hypervisor(2, '--pid-file');
  const file = (id: number | string) => join(world.run, String(id), RUN_FILES.pidFile);
  // A program that copies its files works elsewhere.
  await world.process(tmpdir(), ['-pidfile', file(1)]);
  await world.process(world.directory(3), ['-pidfile', file(1)]);
  // One that was started from a shell in the directory leads no session.
  await world.process(world.directory(4), ['-pidfile', file(4)], false);
  await world.process(world.directory(5), ['-pidfile', join(world.run, '5', 'other')]);
  await world.process(world.directory('6x'), ['-pidfile', file('6x')]);
  await world.process(world.directory(7), [file(7)]);
  await world.process(world.directory(8), ['-pidfile']);
  await world.process(world.directory(9, 'another home'), ['-pidfile', file(9)]);
  assert.deepEqual(world.found(), [
    [1, one.pid],
    [2, two.pid],
  ]);
  assert.deepEqual(
    world.found(null).map(([vmId]) => vmId),
    [1, 2, 9],
  );
});

test('one whose run directory is gone or has another path is found', async (t) => {
  const world = new World(t);
  const removed = await world.hypervisor(1);
  rmSync(join(world.run, '1'), { recursive: true });
  const moved = world.directory('elsewhere');
  symlinkSync(moved, join(world.run, '2'));
  const linked = await world.process(moved, ['-pidfile', join(world.run, '2', RUN_FILES.pidFile)]);
  assert.deepEqual(world.found(), [
    [1, removed.pid],
    [2, linked.pid],
  ]);
});

test('exactly the processes that were asked for are opened, and no descriptor is left', async (t) => {
  if (!requireCapability(t, 'root')) return;
  const world = new World(t);
  await world.hypervisor(1);
  await world.hypervisor(2);
  const before = readdirSync('/proc/self/fd').length;
  const [one, two] = findHypervisors(world.run, HOME).toSorted((a, b) => a.vmId - b.vmId);
  assert.ok(one && two);
  const { identity } = one;
  const pidfds = world.open(
    two,
    { vmId: 1, identity: { ...identity, startTimeTicks: identity.startTimeTicks + 1 } },
    { vmId: 1, identity: { ...identity, bootId: 'another boot' } },
    { vmId: 3, identity },
    { vmId: 4, identity: { ...identity, pid: 2 ** 22 + 1 } },
    one,
  );
  assert.deepEqual(
    pidfds.map((pidfd) => typeof pidfd),
    ['number', 'object', 'object', 'object', 'object', 'number'],
  );
  for (const pidfd of pidfds) if (pidfd !== null) native.closeFd(pidfd);
  // It is another home's from now on.
  rmSync(join(world.run, '2', RUN_FILES.homeId));
  writeFileSync(join(world.run, '2', RUN_FILES.homeId), 'another home', { mode: 0o600 });
  assert.deepEqual(world.open(two), [null]);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('one that has ended and was not waited for is none', async (t) => {
  const world = new World(t);
  const child = await world.hypervisor(1);
  const [one] = findHypervisors(world.run, HOME);
  assert.ok(one);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  assert.deepEqual(world.found(), []);
  if (requireCapability(t, 'root')) assert.deepEqual(world.open(one), [null]);
});
