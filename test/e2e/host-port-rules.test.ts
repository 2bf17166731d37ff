// e2e: the rules of published ports, with real packets and without machines: which sources reach which targets, and what
// happens to open connections when the rules change.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { Forward } from '../../src/engine/ports/network-ports.ts';
import { makeGuestFilter } from '../../src/host/jobs/network/filter-rules.ts';
import { setForwards } from '../../src/host/jobs/network/forwards.ts';
import { removeNetwork, removeTaps } from '../../src/host/jobs/network/network.ts';
import {
  bridgeName,
  ensureSecondaryBridge,
} from '../../src/host/jobs/network/secondary-bridges.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import {
  createGuest,
  createHostPlace,
  createOutside,
  makeNetwork,
  SETTINGS,
  SPEC,
  type VethGuest,
} from './veth-guests.ts';

const PORT = 9000;

/** Sets forwards one after the other, as the daemon does: each call knows what stands. */
function createPorts(t: TestContext) {
  makeNetwork(t);
  let applied: readonly Forward[] | null = null;
  return (...forwards: Forward[]) => {
    const common = { settings: SETTINGS, spec: SPEC, routeLocalnetBefore: '0' };
    setForwards({ ...common, forwards, applied });
    applied = forwards;
  };
}

function forward(protocol: 'tcp' | 'udp', hostPort: number, ...guests: VethGuest[]): Forward {
  const targets = guests.map(({ identity }) => ({ address: identity.ipAddress ?? '', port: PORT }));
  return { protocol, hostPort, targets };
}

async function createServer(t: TestContext, number: number): Promise<VethGuest> {
  const guest = createGuest(t, number);
  await guest.serve(`guest-${number}`, PORT);
  return guest;
}

const routeLocalnet = () =>
  readFileSync(`/proc/sys/net/ipv4/conf/${SPEC.bridge}/route_localnet`, 'utf8').trim();

test('guests never reach the loopback of the host, and its setting is put back', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setPorts = createPorts(t);
  const guest = await createServer(t, 11);
  await createHostPlace(t).serve('the host', PORT, '127.0.0.1');
  guest.run('ip', 'address', 'flush', 'dev', 'lo');
  guest.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet');
  guest.run('ip', 'route', 'add', '127.0.0.0/8', 'via', SPEC.hostIp);
  setPorts(forward('tcp', 18500, guest));
  assert.equal(routeLocalnet(), '1');
  assert.equal(await guest.ask('tcp', '127.0.0.1', PORT), null);
  execFileSync('nft', ['delete', 'table', 'ip', `volant_${SETTINGS.hostTag}_ports`]);
  assert.equal(await guest.ask('tcp', '127.0.0.1', PORT), null, 'whatever becomes of host ports');
  setPorts();
  assert.equal(routeLocalnet(), '0');
});

test('from outside a guest is reached by its host port only', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setPorts = createPorts(t);
  const guest = await createServer(t, 11);
  const outside = createOutside(t);
  await outside.serve('outside', PORT);
  const host = createHostPlace(t);
  setPorts(forward('tcp', 18500, guest), forward('udp', 18500, guest));
  for (const protocol of ['tcp', 'udp'] as const) {
    assert.equal(await outside.ask(protocol, '10.88.0.11', PORT), null, protocol);
    assert.equal(await outside.reach(protocol, '198.51.100.1', 18500), 'guest-11', protocol);
    assert.equal(await host.reach(protocol, '10.88.0.11', PORT), 'guest-11', protocol);
    assert.equal(await host.reach(protocol, '127.0.0.1', 18500), 'guest-11', protocol);
    assert.equal(await guest.reach(protocol, '198.51.100.2', PORT), 'outside', protocol);
  }
});

test('all of that holds for guests on further bridges', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setPorts = createPorts(t);
  for (const bridgeNumber of [1, 2])
    ensureSecondaryBridge({ settings: SETTINGS, spec: SPEC, bridgeNumber });
  const bridges = [1, 2].map((bridgeNumber) => bridgeName(SETTINGS.hostTag, SPEC, bridgeNumber));
  const [one, two] = [createGuest(t, 11, bridges[0]), createGuest(t, 12, bridges[1])];
  await one.serve('guest-11', PORT);
  const outside = createOutside(t);
  await outside.serve('outside', PORT);
  const host = createHostPlace(t);
  setPorts(forward('tcp', 18500, one), forward('udp', 18500, one));
  for (const protocol of ['tcp', 'udp'] as const) {
    assert.equal(await outside.ask(protocol, '10.88.0.11', PORT), null, protocol);
    assert.equal(await outside.reach(protocol, '198.51.100.1', 18500), 'guest-11', protocol);
    assert.equal(await host.reach(protocol, '10.88.0.11', PORT), 'guest-11', protocol);
    assert.equal(await host.reach(protocol, '127.0.0.1', 18500), 'guest-11', protocol);
    assert.equal(await two.reach(protocol, SPEC.hostIp, 18500), 'guest-11', protocol);
    assert.equal(await two.reach(protocol, '10.88.0.11', PORT), 'guest-11', protocol);
    assert.equal(await one.reach(protocol, '198.51.100.2', PORT), 'outside', protocol);
  }
  const settings = { ...SETTINGS, guestIsolation: true };
  one.run('ip', 'route', 'add', '10.88.0.12/32', 'via', SPEC.hostIp);
  two.run('ip', 'route', 'add', '10.88.0.11/32', 'via', SPEC.hostIp);
  assert.equal(await two.reach('tcp', '10.88.0.11', PORT), 'guest-11', 'by way of the host');
  makeGuestFilter({ settings, spec: SPEC, guests: [one.identity, two.identity] });
  assert.equal(await two.ask('tcp', '10.88.0.11', PORT), null);
  assert.equal(await outside.reach('tcp', '198.51.100.1', 18500), 'guest-11');
});

test('who keeps sending to a UDP port follows it to another guest, and away from none', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setPorts = createPorts(t);
  const [one, two] = [await createServer(t, 11), await createServer(t, 12)];
  const outside = createOutside(t);
  const ask = () => outside.reach('udp', '198.51.100.1', 18500, 40_000);
  assert.equal(await ask(), null, 'nothing is there yet');
  setPorts(forward('udp', 18500, one));
  assert.equal(await ask(), 'guest-11');
  setPorts(forward('udp', 18500, two));
  assert.equal(await ask(), 'guest-12');
  setPorts(forward('udp', 18500, two), forward('tcp', 18501, one));
  assert.equal(await ask(), 'guest-12');
  setPorts(forward('tcp', 18501, one));
  assert.equal(await ask(), null, 'it is nobody’s any more');
});

test('a connection continues when ports change, and ends with its guest', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setPorts = createPorts(t);
  const guest = await createServer(t, 11);
  const outside = createOutside(t);
  setPorts(forward('tcp', 18510, guest));
  assert.equal(await outside.reach('tcp', '198.51.100.1', 18510), 'guest-11');
  const entries = () =>
    readFileSync('/proc/net/nf_conntrack', 'utf8')
      .split('\n')
      .filter((line) => line.includes('dport=18510'));
  assert.equal(entries().length, 1);
  setPorts();
  assert.equal(entries().length, 1);
  removeTaps({ tapNames: [guest.identity.tapName], forgottenAddresses: ['10.88.0.11'] });
  assert.equal(entries().length, 0);
});

test('the round of a shared port continues whatever becomes of other ports', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setPorts = createPorts(t);
  const guests = [await createServer(t, 11), await createServer(t, 12), await createServer(t, 13)];
  const shared = forward('tcp', 18500, ...guests);
  const host = createHostPlace(t);
  const answers: (string | null)[] = [];
  for (let round = 0; round < 6; round += 1) {
    const other = guests.slice(round % 3, (round % 3) + 1);
    setPorts(shared, ...(round % 2 === 0 ? [forward('udp', 18501 + round, ...other)] : []));
    answers.push(await host.reach('tcp', '127.0.0.1', 18500));
  }
  assert.deepEqual(answers.slice(3), answers.slice(0, 3), 'each in its turn');
  assert.deepEqual([...answers.slice(0, 3)].sort(), ['guest-11', 'guest-12', 'guest-13']);
  setPorts(forward('tcp', 18500, ...guests.slice(1)));
  for (let count = 0; count < 4; count += 1) {
    assert.notEqual(await host.ask('tcp', '127.0.0.1', 18500), 'guest-11');
  }
});

test('rules that somebody has removed are there again with the next whole table', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const changes = makeNetwork(t);
  const guest = await createServer(t, 11);
  const common = { settings: SETTINGS, spec: SPEC, routeLocalnetBefore: '0', applied: null };
  execFileSync('nft', ['flush', 'ruleset']);
  setForwards({ ...common, forwards: [forward('tcp', 18500, guest)] });
  assert.match(
    execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }),
    /127\.0\.0\.0\/8 drop/,
  );
  assert.equal(await createHostPlace(t).reach('tcp', '127.0.0.1', 18500), 'guest-11');
  removeNetwork({ settings: SETTINGS, spec: SPEC, changes });
  assert.equal(execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }), '');
});
