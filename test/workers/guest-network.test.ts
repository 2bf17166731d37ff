// workers: what of the guests' network is known across jobs, and in which order the jobs run.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestIdentity, NetworkSpec } from '../../src/engine/network-ports.ts';
import type { HostChanges } from '../../src/engine/records.ts';
import type { ExitWatcher } from '../../src/workers/exit-watcher.ts';
import { GuestNetwork } from '../../src/workers/guest-network.ts';
import type { HostSettings, JobName, Run } from '../../src/workers/protocol.ts';
import { silentLog } from '../engine/fakes.ts';

const SPEC: NetworkSpec = {
  bridge: 'vbr0',
  hostIp: '192.168.127.1',
  prefixLength: 24,
  subnet: '192.168.127.0/24',
  exposeAddress: '0.0.0.0',
};

/** Jobs that are only written down, a ledger beside them. */
function createWorld(settings: Partial<HostSettings> = {}) {
  const calls: string[] = [];
  const failing = new Set<JobName | 'remember'>();
  const planned: HostChanges = { bridgeCreated: true };
  let written: HostChanges = {};
  const note = (name: JobName | 'remember') => {
    calls.push(name);
    if (failing.has(name)) throw new Error(`${name} fails`);
  };
  const run = (async (name: JobName) => {
    note(name);
    return name === 'planNetwork' ? planned : null;
  }) as unknown as Run;
  const ledger = {
    changes: () => written,
    remember: async (changes: HostChanges) => {
      note('remember');
      written = changes;
    },
  };
  const host = { hostTag: 'fade', antiSpoofing: true, guestIsolation: false, ...settings };
  const exits = {} as ExitWatcher;
  const network = new GuestNetwork(host as HostSettings, run, exits, silentLog);
  const ensure = (...guests: GuestIdentity[]) => network.ensure(SPEC, guests, ledger);
  return { calls, failing, network, ensure, written: () => written };
}

test('what is changed on the host is written down before: a change that fails is put back, too', async () => {
  const world = createWorld();
  world.failing.add('ensureNetwork');
  await assert.rejects(world.ensure());
  assert.deepEqual(world.calls, ['planNetwork', 'remember', 'ensureNetwork']);
  assert.deepEqual(world.written(), { bridgeCreated: true });
});

test('nothing is changed that could not be written down', async () => {
  const world = createWorld();
  world.failing.add('remember');
  await assert.rejects(world.ensure());
  assert.deepEqual(world.calls, ['planNetwork', 'remember']);
});

const GUEST: GuestIdentity = {
  tapName: 'vtfade-1',
  macAddress: '02:fa:00:00:00:01',
  ipAddress: '192.168.127.10',
  asksForLease: false,
};

test('a guest of an earlier daemon can go although there is no filter that knows it', async () => {
  const world = createWorld({ antiSpoofing: false });
  await world.ensure(GUEST);
  world.failing.add('changeGuestFilter');
  await world.network.removeTap(GUEST.tapName);
  assert.equal(world.calls.at(-1), 'removeTaps');
});
