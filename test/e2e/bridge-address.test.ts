// e2e: the daemon changes as little as possible of the network around its guests, and restores it.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { makeGuestFilter } from '../../src/host/jobs/network/filter-rules.ts';
import { ensureNetwork, planNetwork, removeNetwork } from '../../src/host/jobs/network/network.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { createGuest, createNeighbour, ip, makeNetwork, SETTINGS, SPEC } from './veth-guests.ts';

/** A bridge with an address and the host's default route, as one that a network card is a port of. */
function makeBridge(t: TestContext, bridge: string): void {
  ip('link', 'add', bridge, 'type', 'bridge');
  t.after(() => ip('link', 'delete', bridge));
  ip('address', 'add', '203.0.113.5/24', 'dev', bridge);
  ip('link', 'set', bridge, 'up');
  ip('route', 'add', 'default', 'via', '203.0.113.1', 'dev', bridge);
}

const addresses = (bridge: string) =>
  ip('-o', '-4', 'address', 'show', 'dev', bridge)
    .split('\n')
    .flatMap((line) => /inet (\S+)/.exec(line)?.[1] ?? []);

test('a bridge that is there already keeps its address and its routes', (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeBridge(t, SPEC.bridge);
  const changes = planNetwork({ spec: SPEC, changes: {} });
  assert.equal(changes.bridgeCreated, undefined);
  assert.deepEqual(changes.addressesAdded, ['10.88.0.1/24']);
  ensureNetwork({ settings: SETTINGS, spec: SPEC, changes });
  assert.deepEqual(addresses(SPEC.bridge), ['203.0.113.5/24', '10.88.0.1/24']);
  assert.match(ip('route'), /^default via 203\.0\.113\.1/m);
  assert.deepEqual(planNetwork({ spec: SPEC, changes }), changes, 'nothing more is changed later');

  const moved = { ...SPEC, hostIp: '10.88.0.2' };
  const both = planNetwork({ spec: moved, changes });
  assert.deepEqual(both.addressesAdded, ['10.88.0.1/24', '10.88.0.2/24']);
  ensureNetwork({ settings: SETTINGS, spec: moved, changes: both });
  assert.deepEqual(addresses(SPEC.bridge), ['203.0.113.5/24', '10.88.0.2/24']);
  removeNetwork({ settings: SETTINGS, spec: moved, changes: both });
  assert.deepEqual(addresses(SPEC.bridge), ['203.0.113.5/24']);
  assert.match(ip('route'), /^default via 203\.0\.113\.1/m);
});

test('an address that the bridge has from others is not ours to take', (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeBridge(t, SPEC.bridge);
  ip('address', 'add', '10.88.0.1/24', 'dev', SPEC.bridge);
  const changes = planNetwork({ spec: SPEC, changes: {} });
  ensureNetwork({ settings: SETTINGS, spec: SPEC, changes });
  removeNetwork({ settings: SETTINGS, spec: SPEC, changes });
  assert.deepEqual(addresses(SPEC.bridge), ['203.0.113.5/24', '10.88.0.1/24']);
});

test('guests reach the outside by a bridge that a network card is a port of', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeBridge(t, SPEC.bridge);
  makeNetwork(t);
  await createNeighbour(t).serve('neighbour', 9000);
  const guest = createGuest(t, 11);
  makeGuestFilter({ settings: SETTINGS, spec: SPEC, guests: [guest.identity] });
  for (const protocol of ['tcp', 'udp', 'tcp', 'udp'] as const) {
    assert.equal(await guest.reach(protocol, '203.0.113.1', 9000), 'neighbour', protocol);
  }
});
