// workers: what of the guests' network is known across jobs, and in which order the jobs run.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../src/config.ts';
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
  const shards: string[] = [];
  const failing = new Set<JobName | 'remember'>();
  const planned: HostChanges = { bridgeCreated: true };
  let written: HostChanges = {};
  const note = (name: JobName | 'remember') => {
    calls.push(name);
    if (failing.has(name)) throw new Error(`${name} fails`);
  };
  const found: { shard: number; tapNames: string[] }[] = [];
  const run = (async (name: JobName, argument: { shard?: number }) => {
    note(name);
    if (argument.shard !== undefined) shards.push(`${name} ${argument.shard}`);
    if (name === 'findShards') return found;
    if (name === 'setForwards') return { rules: null };
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
  const ensure = (...guests: GuestIdentity[]) => network.ensure(SPEC, () => guests, ledger);
  return { calls, shards, found, failing, network, ensure, written: () => written };
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

test('the filter forgets a guest while its tap goes: the kernel makes both wait', async () => {
  const world = createWorld();
  await world.ensure(GUEST);
  world.failing.add('removeTaps');
  // The filter does not wait for how the other ends.
  await assert.rejects(world.network.removeTap(GUEST.tapName));
  assert.deepEqual(world.calls.slice(-2).sort(), ['changeGuestFilter', 'removeTaps']);
});

test('a guest of an earlier daemon can go although there is no filter that knows it', async () => {
  const world = createWorld({ antiSpoofing: false });
  await world.ensure(GUEST);
  world.failing.add('changeGuestFilter');
  await world.network.removeTap(GUEST.tapName);
  assert.equal(world.calls.at(-1), 'removeTaps');
});

const PLACELESS = { spec: SPEC, shard: null };
const placeless = (number: number): GuestIdentity => ({
  ...GUEST,
  tapName: `vtfade-${number}`,
  ipAddress: null,
});

test('guests without an address share the lowest bridge with room, which goes with the last of them', async () => {
  const world = createWorld();
  await world.ensure();
  const numbers = Array.from({ length: LIMITS.bridgeTapsMax + 2 }, (_, index) => index);
  const attach = (number: number) =>
    world.network.withTap({ ...PLACELESS, guest: placeless(number) }, async (shard) => shard);
  const places = await Promise.all(numbers.map(attach));
  assert.deepEqual([...new Set(places)], [100_000, 100_001]);
  assert.equal(places.lastIndexOf(100_000), LIMITS.bridgeTapsMax - 1);
  assert.deepEqual(world.shards, ['ensureShard 100000', 'ensureShard 100001']);
  await world.network.removeTap('vtfade-3');
  assert.equal(await attach(5_000), 100_000, 'a place that is free again is used');
  world.shards.length = 0;
  await Promise.all(numbers.slice(-2).map((n) => world.network.removeTap(`vtfade-${n}`)));
  assert.deepEqual(world.shards, ['removeShard 100001']);
  assert.equal(await attach(6_000), 100_001);
  assert.deepEqual(world.shards, ['removeShard 100001', 'ensureShard 100001']);
});

test('bridges of an earlier daemon are used on, and removed when nobody is on them', async () => {
  const world = createWorld();
  world.found.push({ shard: 100_000, tapNames: ['vtfade-1'] }, { shard: 7, tapNames: [] });
  await world.ensure(placeless(1));
  assert.deepEqual(world.shards, ['removeShard 7']);
  await world.network.removeTap('vtfade-1');
  assert.deepEqual(world.shards, ['removeShard 7', 'removeShard 100000']);
});

test('a tap that goes while the bridges are looked at is not waited for for ever', async () => {
  const world = createWorld();
  world.found.push({ shard: 100_000, tapNames: ['vtfade-1'] });
  const looking = world.ensure();
  while (!world.calls.includes('findShards')) await Promise.resolve();
  await world.network.removeTap('vtfade-1');
  await looking;
  assert.deepEqual(world.shards, ['removeShard 100000']);
});

const ASKING: GuestIdentity = { ...GUEST, tapName: 'vtfade-9', asksForLease: true };

test('a DHCP server that does not start keeps nobody else from a network, and is tried again', async () => {
  const world = createWorld();
  world.failing.add('serveLeases');
  await world.ensure(ASKING);
  await world.network.withTap({ spec: SPEC, shard: 0, guest: GUEST }, async () => undefined);
  await world.network.setForwards(SPEC, []);
  await world.network.removeTap(ASKING.tapName);
  const tries = () => world.calls.filter((name) => name === 'serveLeases').length;
  const before = tries();
  while (tries() < before + 2) await pause(20);
  world.failing.clear();
  while (tries() < before + 3) await pause(20);
});

test('a new daemon looks after a DHCP server although no guest asks any more', async () => {
  const world = createWorld();
  await world.ensure(GUEST);
  assert.equal(world.calls.at(-1), 'serveLeases');
});
