// test helpers: fleets of real guests that start at once. What a guest with a broken clock cannot do is to sleep and to
// power off; each guest of a fleet is asked for both.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon, tellGuest } from './daemon.ts';
import { installProbe } from './probe-image.ts';

const FLEET_TIMEOUT_MS = 240_000;
const CLIENTS = 4;

export interface Fleet {
  readonly count: number;
  readonly machine: 'auto' | 'q35';
  readonly cpu_cores: number;
  /** Programs that keep the host busy beside it. */
  readonly loops: number;
}

/** Does the work for each name, so many at a time. */
async function forEach<T>(
  items: readonly T[],
  atATime: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

async function untilBooted(daemon: Daemon, count: number) {
  const deadline = Date.now() + FLEET_TIMEOUT_MS;
  for (;;) {
    const { boots } = (await daemon.call('GET', '/api/v1/system/info')).body;
    const running = await daemon.call('GET', '/api/v1/vms?limit=0&status=running');
    const isComplete = Number(running.headers.get('x-total-count')) === count;
    if (boots.booting === 0 && boots.waiting === 0 && isComplete) return boots;
    assert.ok(Date.now() < deadline, `the fleet is not complete: ${JSON.stringify(boots)}`);
    await pause(100);
  }
}

function keepBusy(t: TestContext, loops: number): void {
  for (let index = 0; index < loops; index += 1) {
    const loop = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
    t.after(() => void loop.kill('SIGKILL'));
  }
}

/** Starts a fleet at once, and asks each of its guests for a sleep and for its end. */
async function startFleet(t: TestContext, daemon: Daemon, count: number, more: object) {
  const names = Array.from({ length: count }, (_, index) => `fleet-${index + 1}`);
  const addresses = new Map<string, string>();
  const startedAt = performance.now();
  await forEach(names, CLIENTS, async (name) => {
    const vm = await daemon.createVm(name, { plugin: 'probe', ...more });
    addresses.set(name, vm.ip_address);
  });
  const { relaunched } = await untilBooted(daemon, count);
  const readyS = (performance.now() - startedAt) / 1000;
  let slowestMs = 0;
  await forEach(names, CLIENTS, async (name) => {
    const address = addresses.get(name) ?? '';
    assert.match(await askGuest(address, '/v1/cgi-bin/nap'), /^slept/, name);
    await tellGuest(address, '/v1/cgi-bin/poweroff');
    const askedAt = performance.now();
    await daemon.waitFor(name, 'stopped');
    slowestMs = Math.max(slowestMs, performance.now() - askedAt);
  });
  const figures = `${count} guests ready in ${readyS.toFixed(1)} s, slowest power-off ${Math.round(slowestMs)} ms`;
  t.diagnostic(`${figures}, launched again: ${relaunched}`);
}

/** A test: the fleet starts at once, and each of its guests sleeps and powers off. Tells how long that took. */
export function testFleet({ count, machine, cpu_cores, loops }: Fleet): void {
  const kind = `machine ${machine}, processors ${cpu_cores}, busy loops beside them ${loops}`;
  test(`${count} guests at once (${kind}): each sleeps and powers off`, async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
    const daemon = await startDaemon(t, { VOLANT_MACHINE: machine });
    await installProbe(daemon);
    keepBusy(t, loops);
    await startFleet(t, daemon, count, { cpu_cores });
  });
}
