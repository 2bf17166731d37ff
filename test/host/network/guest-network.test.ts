// workers: what of the guests' network is known across jobs, and in which order the jobs run.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import type { GuestIdentity, NetworkSpec } from '../../../src/engine/ports/network-ports.ts';
import type { HostChanges } from '../../../src/engine/records.ts';
import type { ExitWatcher } from '../../../src/host/exit-watcher.ts';
import type { HostSettings, JobName, Run } from '../../../src/host/jobs/protocol.ts';
import { GuestNetwork } from '../../../src/host/network/guest-network.ts';
import { silentLog } from '../../engine/fakes.ts';
import { until, untilPasses } from '../../helpers/until.ts';

const SPEC: NetworkSpec = {
  bridge: 'vbr0',
  hostIp: '192.168.127.1',
  prefixLength: 24,
  subnet: '192.168.127.0/24',
  exposeAddress: '0.0.0.0',
};

/** Jobs that are only stored, a ledger beside them. */
function createWorld(settings: Partial<HostSettings> = {}, unusedMs = 0) {
  const calls: string[] = [];
  const secondaryBridges: string[] = [];
  const failing = new Set<JobName | 'remember'>();
  const planned: HostChanges = { bridgeCreated: true };
  let written: HostChanges = {};
  const note = (name: JobName | 'remember') => {
    // What only the next removal waits for comes at any time.
    if (name !== 'settleTaps') calls.push(name);
    if (failing.has(name)) throw new Error(`${name} fails`);
  };
  const found: { bridgeNumber: number; tapNames: string[] }[] = [];
  const run = (async (name: JobName, argument: { bridgeNumber?: number }) => {
    note(name);
    if (argument.bridgeNumber !== undefined)
      secondaryBridges.push(`${name} ${argument.bridgeNumber}`);
    if (name === 'findSecondaryBridges') return found;
    if (name === 'setForwards') return { rules: null };
    if (name === 'makeEgress') return { rules: null, policies: [] };
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
  const network = new GuestNetwork(host as HostSettings, run, exits, silentLog, unusedMs);
  const ensure = (...guests: GuestIdentity[]) => network.ensure(SPEC, () => guests, ledger);
  return { calls, secondaryBridges, found, failing, network, ensure, written: () => written };
}

test('what is changed on the host is stored before: a change that fails is undone, too', async () => {
  const world = createWorld();
  world.failing.add('ensureNetwork');
  await assert.rejects(world.ensure());
  assert.deepEqual(world.calls, ['planNetwork', 'remember', 'ensureNetwork']);
  assert.deepEqual(world.written(), { bridgeCreated: true });
});

test('nothing is changed that could not be stored', async () => {
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

const PLACELESS = { spec: SPEC, bridgeNumber: null };
const placeless = (number: number): GuestIdentity => ({
  ...GUEST,
  tapName: `vtfade-${number}`,
  ipAddress: null,
});

test('guests without an address share the lowest bridge with free ports, which goes with the last of them', async () => {
  const world = createWorld();
  await world.ensure();
  const numbers = Array.from({ length: LIMITS.bridgeTapsMax + 2 }, (_, index) => index);
  const attach = (number: number) =>
    world.network.withTap(
      { ...PLACELESS, guest: placeless(number) },
      async (bridgeNumber) => bridgeNumber,
    );
  const places = await Promise.all(numbers.map(attach));
  assert.deepEqual([...new Set(places)], [100_000, 100_001]);
  assert.equal(places.lastIndexOf(100_000), LIMITS.bridgeTapsMax - 1);
  assert.deepEqual(world.secondaryBridges, [
    'ensureSecondaryBridge 100000',
    'ensureSecondaryBridge 100001',
  ]);
  await world.network.removeTap('vtfade-3');
  assert.equal(await attach(5_000), 100_000, 'a place that is free again is used');
  world.secondaryBridges.length = 0;
  await Promise.all(numbers.slice(-2).map((n) => world.network.removeTap(`vtfade-${n}`)));
  const removed = ['removeSecondaryBridge 100001'];
  await untilPasses(() => assert.deepEqual(world.secondaryBridges, removed));
  assert.equal(await attach(6_000), 100_001);
  assert.deepEqual(world.secondaryBridges, [
    'removeSecondaryBridge 100001',
    'ensureSecondaryBridge 100001',
  ]);
});

test('bridges of an earlier daemon are used on, and removed when nobody is on them', async () => {
  const world = createWorld();
  world.found.push(
    { bridgeNumber: 100_000, tapNames: ['vtfade-1'] },
    { bridgeNumber: 7, tapNames: [] },
  );
  await world.ensure(placeless(1));
  assert.deepEqual(world.secondaryBridges, ['removeSecondaryBridge 7']);
  await world.network.removeTap('vtfade-1');
  const removed = ['removeSecondaryBridge 7', 'removeSecondaryBridge 100000'];
  await untilPasses(() => assert.deepEqual(world.secondaryBridges, removed));
});

test('a bridge without taps is there for the next one for a while, and a removal that fails is repeated', async () => {
  const world = createWorld({}, 50);
  await world.ensure(placeless(1));
  const attach = () =>
    world.network.withTap(
      { spec: SPEC, bridgeNumber: null, guest: placeless(1) },
      async () => undefined,
    );
  await attach();
  await world.network.removeTap('vtfade-1');
  await attach();
  await pause(150);
  assert.deepEqual(world.secondaryBridges, ['ensureSecondaryBridge 100000']);
  world.failing.add('removeSecondaryBridge');
  await world.network.removeTap('vtfade-1');
  const removals = () => world.calls.filter((name) => name === 'removeSecondaryBridge').length;
  await until('it is tried again', () => removals() > 1);
  world.failing.clear();
  await until('it is removed', () => world.secondaryBridges.length > 1);
  world.network.close();
});

test('a tap that goes while the bridges are looked at is not waited for forever', async () => {
  const world = createWorld();
  world.found.push({ bridgeNumber: 100_000, tapNames: ['vtfade-1'] });
  const looking = world.ensure();
  while (!world.calls.includes('findSecondaryBridges')) await Promise.resolve();
  await world.network.removeTap('vtfade-1');
  await looking;
  const removed = ['removeSecondaryBridge 100000'];
  await untilPasses(() => assert.deepEqual(world.secondaryBridges, removed));
});

const ASKING: GuestIdentity = { ...GUEST, tapName: 'vtfade-9', asksForLease: true };

test('a DHCP server that does not start keeps nobody else from a network, and is tried again', async () => {
  const world = createWorld();
  world.failing.add('serveLeases');
  await world.ensure(ASKING);
  await world.network.withTap({ spec: SPEC, bridgeNumber: 0, guest: GUEST }, async () => undefined);
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
