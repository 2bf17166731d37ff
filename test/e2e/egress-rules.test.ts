// e2e: egress rules with real packets and without machines: what guests reach under which rules, what a change does to open
// connections, and what is counted.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { EgressGuest, Forward } from '../../src/engine/ports/network-ports.ts';
import {
  changeEgress,
  countEgress,
  cutConnections,
  makeEgress,
} from '../../src/host/jobs/network/egress/egress.ts';
import { makeGuestFilter } from '../../src/host/jobs/network/filter-rules.ts';
import { setForwards } from '../../src/host/jobs/network/forwards.ts';
import {
  bridgeName,
  ensureSecondaryBridge,
} from '../../src/host/jobs/network/secondary-bridges.ts';
import type { EgressRules } from '../../src/lib/net/egress.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import {
  createGuest,
  createHostPlace,
  createOutside,
  ip,
  makeNetwork,
  SETTINGS,
  SPEC,
  type VethGuest,
} from './veth-guests.ts';

const PORT = 9000;
const OUTSIDE = '198.51.100.2';
const METADATA = '169.254.169.254';

const rulesOf = (
  otherwise: 'allow' | 'deny',
  lists: Partial<Pick<EgressRules, 'allow' | 'deny'>> = {},
): EgressRules => ({ default: otherwise, allow: [], deny: [], ...lists });

const held = (
  { identity: { tapName, ipAddress } }: VethGuest,
  rules: EgressRules,
): EgressGuest => ({
  tapName,
  ipAddress: ipAddress ?? '',
  rules,
});

const common = { settings: SETTINGS, spec: SPEC, resolvers: [] };

/** Guests with rules, changed as the daemon changes them. */
function createEgress(t: TestContext, settings = SETTINGS) {
  makeNetwork(t, settings);
  let present: readonly EgressGuest[] = [];
  makeEgress({ ...common, settings, guests: [] });
  return (...guests: readonly EgressGuest[]) => {
    const isSame = (one: EgressGuest, other: EgressGuest) =>
      JSON.stringify(one) === JSON.stringify(other);
    const staying = present.filter((one) => guests.some((other) => isSame(one, other)));
    const left = present.filter((one) => !staying.includes(one));
    const admitted = guests.filter((one) => !staying.some((other) => isSame(one, other)));
    changeEgress({ ...common, settings, left, admitted, staying });
    cutConnections({ ...common, settings, guests: admitted });
    present = guests;
  };
}

const directory = mkdtempSync(join(tmpdir(), 'volant-echo-'));
const program = join(directory, 'echo-request');
before(() => {
  execFileSync('gcc', ['-o', program, join(PROJECT_ROOT, 'test/e2e/echo-request.c')]);
});
after(() => rmSync(directory, { recursive: true }));

/** Whether an address answers an echo request of the guest. */
const ping = (guest: VethGuest, address: string) => guest.run(program, address).includes('answers');

test('under default deny a guest reaches what an entry allows, and nothing else', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const [guest, free] = [createGuest(t, 11), createGuest(t, 12)];
  const outside = createOutside(t);
  for (const port of [PORT, PORT + 1, PORT + 500]) await outside.serve('outside', port);
  await free.serve('guest-12', PORT);
  await createHostPlace(t).serve('host', PORT, SPEC.hostIp);
  const reached = async (protocol: 'tcp' | 'udp', address: string, port = PORT) =>
    (await guest.ask(protocol, address, port)) !== null;
  const places = [OUTSIDE, SPEC.hostIp, '10.88.0.12'];
  for (const place of places) assert.ok(await reached('tcp', place), `${place} without rules`);

  setEgress(held(guest, rulesOf('deny')));
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const place of places) assert.equal(await reached(protocol, place), false, place);
  }
  for (const place of places) assert.equal(ping(guest, place), false, place);
  assert.equal(await free.reach('tcp', OUTSIDE, PORT), 'outside', 'others are not concerned');

  const ports = { allow: [`${OUTSIDE}:${PORT}`, `198.51.100.0/24:${PORT + 400}-${PORT + 600}`] };
  setEgress(held(guest, rulesOf('deny', ports)));
  for (const protocol of ['tcp', 'udp'] as const) {
    assert.ok(await reached(protocol, OUTSIDE), protocol);
    assert.equal(await reached(protocol, OUTSIDE, PORT + 1), false, protocol);
    assert.ok(await reached(protocol, OUTSIDE, PORT + 500), protocol);
  }
  assert.equal(ping(guest, OUTSIDE), false, 'an entry with a port is about that port');

  setEgress(held(guest, rulesOf('deny', { allow: ['198.51.100.0/24', '10.88.0.12'] })));
  assert.ok(ping(guest, OUTSIDE));
  assert.ok(ping(guest, '10.88.0.12'), 'another guest of the same bridge');
  assert.ok(await reached('tcp', OUTSIDE, PORT + 1));
  assert.ok(await reached('udp', '10.88.0.12'));
  assert.equal(await reached('tcp', SPEC.hostIp), false);

  setEgress();
  for (const place of places) assert.ok(await reached('tcp', place), `${place} without rules`);
});

test('under default allow a guest does not reach what an entry denies', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const [guest, other] = [createGuest(t, 11), createGuest(t, 12)];
  const outside = createOutside(t);
  await outside.serve('outside', PORT);
  await other.serve('guest-12', PORT);
  setEgress(held(guest, rulesOf('allow', { deny: [SPEC.subnet] })));
  assert.equal(await guest.reach('tcp', OUTSIDE, PORT), 'outside');
  assert.equal(await guest.ask('tcp', '10.88.0.12', PORT), null);
  assert.equal(ping(guest, SPEC.hostIp), false);
  const both = { allow: ['198.51.100.0/24'], deny: [`${OUTSIDE}:${PORT}`] };
  for (const otherwise of ['allow', 'deny'] as const) {
    setEgress(held(guest, rulesOf(otherwise, both)));
    assert.equal(await guest.ask('tcp', OUTSIDE, PORT), null, 'deny counts before allow');
    assert.ok(ping(guest, OUTSIDE));
  }
});

test('who may reach a guest gets its answers under default deny', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const [guest, other] = [createGuest(t, 11), createGuest(t, 12)];
  await guest.serve('guest-11', PORT);
  const outside = createOutside(t);
  const targets = [{ address: '10.88.0.11', port: PORT }];
  const forwards: readonly Forward[] = [
    { protocol: 'tcp', hostPort: 18600, targets },
    { protocol: 'udp', hostPort: 18600, targets },
  ];
  setForwards({ ...common, forwards, applied: null, routeLocalnetBefore: '0' });
  t.after(() => setForwards({ ...common, forwards: [], applied: null, routeLocalnetBefore: '0' }));
  setEgress(held(guest, rulesOf('deny')));
  const host = createHostPlace(t);
  for (const protocol of ['tcp', 'udp'] as const) {
    assert.equal(await outside.reach(protocol, '198.51.100.1', 18600), 'guest-11', protocol);
    assert.equal(await host.reach(protocol, '127.0.0.1', 18600), 'guest-11', protocol);
    assert.equal(await host.reach(protocol, '10.88.0.11', PORT), 'guest-11', protocol);
    assert.equal(await other.reach(protocol, '10.88.0.11', PORT), 'guest-11', protocol);
  }
  assert.ok(ping(other, '10.88.0.11'));
  assert.equal(ping(guest, '10.88.0.12'), false);
});

test('rules hold on secondary bridges, between them, and with isolated guests', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  for (const bridgeNumber of [1, 2])
    ensureSecondaryBridge({ settings: SETTINGS, spec: SPEC, bridgeNumber });
  const bridges = [1, 2].map((bridgeNumber) => bridgeName(SETTINGS.hostTag, SPEC, bridgeNumber));
  const guests = [
    createGuest(t, 11, bridges[0]),
    createGuest(t, 12, bridges[0]),
    createGuest(t, 13, bridges[1]),
    createGuest(t, 14),
  ];
  const [guest] = guests;
  assert.ok(guest);
  const outside = createOutside(t);
  await outside.serve('outside', PORT);
  for (const one of guests) await one.serve(`guest of ${one.identity.ipAddress}`, PORT);
  const others = guests.slice(1).map(({ identity }) => identity.ipAddress ?? '');
  setEgress(held(guest, rulesOf('deny', { allow: [OUTSIDE] })));
  assert.equal(await guest.reach('tcp', OUTSIDE, PORT), 'outside');
  for (const address of others) assert.equal(await guest.ask('tcp', address, PORT), null, address);
  for (const one of guests.slice(1)) {
    assert.equal(await one.reach('tcp', '10.88.0.11', PORT), 'guest of 10.88.0.11');
  }
  setEgress(held(guest, rulesOf('deny', { allow: ['10.88.0.12/31'] })));
  assert.equal(await guest.reach('tcp', '10.88.0.12', PORT), 'guest of 10.88.0.12');
  assert.equal(await guest.reach('udp', '10.88.0.13', PORT), 'guest of 10.88.0.13');
  assert.equal(await guest.ask('tcp', '10.88.0.14', PORT), null);
  assert.equal(await guest.ask('tcp', OUTSIDE, PORT), null);
  const settings = { ...SETTINGS, guestIsolation: true };
  makeGuestFilter({ settings, spec: SPEC, guests: guests.map(({ identity }) => identity) });
  for (const address of others) {
    assert.equal(await guest.ask('tcp', address, PORT), null, `isolated: ${address}`);
  }
  for (const one of guests.slice(1)) assert.equal(await one.ask('tcp', '10.88.0.11', PORT), null);
});

test('nobody reaches metadata addresses by the host unless an entry allows it', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const guest = createGuest(t, 11);
  const outside = createOutside(t);
  ip('route', 'add', '169.254.169.254/32', 'via', OUTSIDE);
  outside.run('ip', 'address', 'add', `${METADATA}/32`, 'dev', 'lo');
  await outside.serve('metadata', PORT);
  assert.equal(await createHostPlace(t).reach('tcp', METADATA, PORT), 'metadata');
  assert.equal(await guest.ask('tcp', METADATA, PORT), null, 'a guest without rules');
  for (const allow of [[], ['0.0.0.0/0'], ['169.0.0.0/8']]) {
    setEgress(held(guest, rulesOf('allow', { allow })));
    assert.equal(await guest.ask('tcp', METADATA, PORT), null, String(allow));
  }
  setEgress(held(guest, rulesOf('deny', { allow: [`${METADATA}:${PORT}`] })));
  assert.equal(await guest.reach('tcp', METADATA, PORT), 'metadata');
  assert.equal(ping(guest, METADATA), false);
});

test('a change of rules ends the connections that it forbids, and no others', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const [guest, other] = [createGuest(t, 11), createGuest(t, 12)];
  const outside = createOutside(t);
  await outside.echo(PORT);
  await outside.echo(PORT + 1);
  await other.echo(PORT);
  await createHostPlace(t).echo(PORT, SPEC.hostIp);
  const open = {
    outside: await guest.talk(OUTSIDE, PORT),
    otherPort: await guest.talk(OUTSIDE, PORT + 1),
    guest: await guest.talk('10.88.0.12', PORT),
    host: await guest.talk(SPEC.hostIp, PORT),
  };
  for (const [name, connection] of Object.entries(open)) {
    assert.equal(await connection.hear('before'), 'before', name);
  }
  setEgress(held(guest, rulesOf('deny', { allow: [`${OUTSIDE}:${PORT + 1}`] })));
  assert.equal(await open.otherPort.hear('after'), 'after', 'what is allowed goes on');
  assert.equal(await open.outside.say('after'), null);
  assert.equal(await open.guest.say('after'), null);
  assert.equal(await open.host.say('after'), null);
});

test('the other side of a connection that was ended does not open it again', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const [guest, other] = [createGuest(t, 11), createGuest(t, 12)];
  await other.chatter(PORT);
  const connection = await guest.talk('10.88.0.12', PORT);
  assert.match((await connection.hear('before')) ?? '', /tick/);
  setEgress(held(guest, rulesOf('deny')));
  // What it sent before may still arrive.
  await untilPasses(async () => {
    await connection.drained();
    assert.equal(await connection.say('after'), null, 'what the other side sends opens nothing');
  });
});

test('what passes and what is refused is counted for each guest', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const setEgress = createEgress(t);
  const [guest, other] = [createGuest(t, 11), createGuest(t, 12)];
  createOutside(t);
  const rules = rulesOf('deny', { allow: [OUTSIDE] });
  setEgress(held(guest, rules), held(other, rules));
  assert.ok(ping(guest, OUTSIDE));
  assert.equal(ping(guest, SPEC.hostIp), false);
  const countOf = (address: string) =>
    countEgress({ settings: SETTINGS }).find(({ ipAddress }) => ipAddress === address);
  const counted = { packets: 1, bytes: 84, refusedPackets: 1, refusedBytes: 84 };
  assert.deepEqual(countOf('10.88.0.11'), { ipAddress: '10.88.0.11', ...counted });
  assert.equal(countOf('10.88.0.12')?.packets, 0);
  setEgress(held(guest, rulesOf('deny')), held(other, rules));
  assert.deepEqual(countOf('10.88.0.11'), { ipAddress: '10.88.0.11', ...counted }, 'a change');
  makeEgress({ ...common, guests: [held(guest, rules)] });
  assert.deepEqual(countOf('10.88.0.11'), { ipAddress: '10.88.0.11', ...counted }, 'a restart');
  assert.equal(countOf('10.88.0.12'), undefined);
});

test('a guest with rules sends under no other address', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const settings = { ...SETTINGS, antiSpoofing: false };
  const setEgress = createEgress(t, settings);
  const guest = createGuest(t, 11);
  const outside = createOutside(t);
  await outside.serve('outside', PORT);
  setEgress(held(guest, rulesOf('deny')));
  guest.run('ip', 'address', 'add', '10.88.0.77/24', 'dev', 'eth0');
  guest.run('ip', 'route', 'replace', 'default', 'via', SPEC.hostIp, 'src', '10.88.0.77');
  assert.equal(await guest.ask('tcp', OUTSIDE, PORT), null);
});
