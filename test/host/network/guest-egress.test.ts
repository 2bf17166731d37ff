// host: the egress rules of guests while guests come and go, the network is checked and repaired at the same time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestIdentity, NetworkRepair } from '../../../src/engine/ports/network-ports.ts';
import type { ExitWatcher } from '../../../src/host/exit-watcher.ts';
import type { HostSettings, JobName, Run } from '../../../src/host/jobs/protocol.ts';
import { GuestNetwork } from '../../../src/host/network/guest-network.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { type EgressRules, policyIdOf } from '../../../src/lib/net/egress.ts';
import { silentLog } from '../../engine/fakes.ts';

const SPEC = {
  bridge: 'vbr0',
  hostIp: '192.168.127.1',
  prefixLength: 24,
  subnet: '192.168.127.0/24',
  exposeAddress: '0.0.0.0',
};
const CLOSED: EgressRules = { default: 'deny', allow: [], deny: [] };
const OPEN: EgressRules = { default: 'allow', allow: [], deny: ['203.0.113.7'] };

const guest = (number: number, egress: EgressRules = CLOSED): GuestIdentity => ({
  tapName: `vtfade-${number}`,
  macAddress: `02:fa:00:00:00:0${number}`,
  ipAddress: `192.168.127.${number}`,
  asksForLease: false,
  egress,
});

type Held = { readonly tapName: string; readonly rules: EgressRules };
type Argument = {
  readonly guests: readonly Held[];
  readonly left: readonly Held[];
  readonly admitted: readonly Held[];
};

/** A kernel with nothing but policies and the guests that are held to them. */
function createWorld() {
  const kernel = new Map<string, string>();
  const failing = new Set<JobName>();
  /** What is awaited in the middle of a job, after what it does is done. */
  const pauses = new Map<JobName, () => Promise<unknown>>();
  const policies = () => [...new Set(kernel.values())].map((id) => ({ id, digest: `of ${id}` }));
  const act = (name: JobName, { guests, left, admitted }: Argument): unknown => {
    if (name === 'makeEgress') kernel.clear();
    for (const { tapName } of left ?? []) kernel.delete(tapName);
    for (const { tapName, rules } of [...(guests ?? []), ...(admitted ?? [])])
      if (rules !== undefined) kernel.set(tapName, policyIdOf(rules));
    if (name === 'makeEgress') return { rules: 'rules', policies: policies() };
    return policies();
  };
  const run = (async (name: JobName, argument: Argument) => {
    if (failing.has(name)) throw new VolantError('HOST_OPERATION_FAILED', `${name} fails`);
    if (name === 'findSecondaryBridges') return [];
    if (name === 'setForwards') return { rules: null };
    if (name === 'planNetwork') return {};
    const isEgress = name === 'makeEgress' || name === 'changeEgress';
    const result = isEgress ? act(name, argument) : null;
    const seen = { rules: 'rules', policies: policies(), entries: [] };
    await pauses.get(name)?.();
    if (name === 'readNetwork') return { nat: null, filter: {}, ports: {}, egress: seen };
    return result;
  }) as unknown as Run;
  const ledger = { changes: () => ({}), remember: async () => undefined };
  const settings = { hostTag: 'fade', antiSpoofing: true, guestIsolation: false };
  const network = new GuestNetwork(settings as HostSettings, run, {} as ExitWatcher, silentLog);
  const attach = (one: GuestIdentity) =>
    network.withTap({ spec: SPEC, bridgeNumber: 0, guest: one }, async () => undefined);
  const ensure = (...guests: GuestIdentity[]) => network.ensure(SPEC, () => guests, ledger);
  const repair = (egress: NetworkRepair['egress']) => {
    const nothing = {
      network: false,
      filter: null,
      forwards: null,
      secondaryBridges: [],
      taps: [],
    };
    return network.mend(SPEC, { ...nothing, egress }, ledger);
  };
  const reading = async () => (await network.read(SPEC, true))?.egress.rules;
  return { kernel, failing, pauses, network, attach, ensure, repair, reading };
}

test('a repair does not bring back the rules of a guest whose tap goes', async () => {
  const world = createWorld();
  await world.ensure(guest(1), guest(2));
  const removed = world.network.removeTap(guest(1).tapName);
  await world.repair({ admitted: [guest(1), guest(2)], left: [] });
  await removed;
  assert.deepEqual([...world.kernel.keys()], [guest(2).tapName]);
});

test('a repair takes nothing from a guest that was attached after it was planned', async () => {
  const world = createWorld();
  await world.ensure();
  await world.attach(guest(1));
  await world.repair({ admitted: [], left: [guest(1).tapName] });
  assert.deepEqual([...world.kernel.keys()], [guest(1).tapName]);
});

test('a change of the rules of a guest whose tap goes is no change', async () => {
  const world = createWorld();
  await world.ensure(guest(1));
  const removed = world.network.removeTap(guest(1).tapName);
  await world.network.setEgress(SPEC, guest(1, OPEN));
  await removed;
  assert.equal(world.kernel.size, 0);
});

test('a policy that comes or goes during a reading is no difference, and one that is lacking is', async () => {
  const world = createWorld();
  await world.ensure(guest(1));
  assert.equal(await world.reading(), 'right');
  // The reading has begun when the change is done, and the other way round.
  world.pauses.set('readNetwork', () => world.attach(guest(2, OPEN)));
  assert.equal(await world.reading(), 'right');
  world.pauses.set('readNetwork', () => world.network.removeTap(guest(2).tapName));
  assert.equal(await world.reading(), 'right');
  world.pauses.clear();
  const seen: unknown[] = [];
  world.pauses.set('changeEgress', async () => seen.push(await world.reading()));
  await world.attach(guest(2, OPEN));
  await world.network.removeTap(guest(2).tapName);
  assert.deepEqual(seen, ['right', 'right']);
  world.kernel.clear();
  assert.equal(await world.reading(), 'changed');
});

test('a guest that could not be removed is removed by the next attempt, whatever the kernel has', async () => {
  const world = createWorld();
  await world.ensure(guest(1));
  for (const name of ['changeEgress', 'makeEgress'] as const) world.failing.add(name);
  await assert.rejects(world.network.removeTap(guest(1).tapName));
  world.failing.clear();
  await world.network.removeTap(guest(1).tapName);
  assert.equal(world.kernel.size, 0);
});
