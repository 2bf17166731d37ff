// e2e: what guests may send and to whom, tested frame by frame without machines.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { changeGuestFilter, makeGuestFilter } from '../../src/host/jobs/network/filter-rules.ts';
import { setForwards } from '../../src/host/jobs/network/forwards.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import {
  createGuest,
  createHostPlace,
  ip,
  makeNetwork,
  SETTINGS,
  SPEC,
  type VethGuest,
} from './veth-guests.ts';

const COUNT_QUESTIONS =
  'table arp test { chain input { type filter hook input priority 0; arp operation request counter; }; }';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const BRIDGES_ASK_IP = '/proc/sys/net/bridge/bridge-nf-call-iptables';

const hexOf = (mac: string) => mac.replaceAll(':', '');
const hexOfAddress = (address: string) =>
  Buffer.from(address.split('.').map(Number)).toString('hex');

/** "address is at mac", told to everybody. */
function announcement(from: string, mac: string, address: string): string {
  const [sender, ip] = [hexOf(mac), hexOfAddress(address)];
  const head = `${hexOf(BROADCAST)}${hexOf(from)}0806`;
  return `${head}0001080006040002${sender}${ip}${hexOf(BROADCAST)}${ip}`;
}

/** RFC 1071. */
function checksumOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return (~sum & 0xffff).toString(16).padStart(4, '0');
}

/** An ICMP echo request. */
function echoRequest(from: string, to: string, source: string, target: string): string {
  const addresses = hexOfAddress(source) + hexOfAddress(target);
  const [start, rest] = ['4500001c000040004001', '0000'];
  const header = start + checksumOf(start + rest + addresses) + addresses;
  return `${hexOf(to)}${hexOf(from)}0800${header}0800${checksumOf('0800000000010001')}00010001`;
}

/** Sends frames as they are. */
function createSender(t: TestContext): (guest: VethGuest, ...frames: string[]) => void {
  const directory = mkdtempSync(join(tmpdir(), 'volant-frame-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const program = join(directory, 'frame');
  execFileSync('gcc', ['-o', program, join(PROJECT_ROOT, 'test/e2e/frame.c')]);
  return (guest, ...frames) => assert.equal(guest.run(program, 'eth0', ...frames), '');
}

/** The port of the bridge that frames to a MAC address go to. */
function portOf(mac: string): string | undefined {
  const list = JSON.parse(
    execFileSync('bridge', ['-json', 'fdb', 'show', 'br', SPEC.bridge], { encoding: 'utf8' }),
  ) as { mac: string; ifname: string; flags: string[] }[];
  return list.find((entry) => entry.mac === mac)?.ifname;
}

const neighbour = (guest: VethGuest, address: string) =>
  /lladdr (\S+)/.exec(guest.run('ip', 'neigh', 'show', address))?.[1];

test('a guest cannot take frames of another by the source of its ARP frames', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeNetwork(t);
  const [one, two] = [createGuest(t, 11), createGuest(t, 12)];
  const guests = [one.identity, two.identity];
  makeGuestFilter({ settings: SETTINGS, spec: SPEC, guests });
  const send = createSender(t);
  const [own, other] = [one.identity.macAddress, two.identity.macAddress];
  send(two, announcement(other, other, '10.88.0.12'));
  await until('the bridge knows it', () => portOf(other) === two.identity.tapName);
  send(one, announcement(other, own, '10.88.0.11'), announcement(own, own, '10.88.0.11'));
  await until('its honest frame arrives', () => portOf(own) === one.identity.tapName);
  assert.equal(portOf(other), two.identity.tapName);
});

test('a question of ARP for the address of one guest wakes no other', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeNetwork(t);
  const [one, two, leased] = [createGuest(t, 11), createGuest(t, 12), createGuest(t, 13)];
  const unknown = { ...leased.identity, ipAddress: null, asksForLease: true };
  makeGuestFilter({ settings: SETTINGS, spec: SPEC, guests: [one.identity] });
  changeGuestFilter({ settings: SETTINGS, admitted: [two.identity, unknown], left: [] });
  const guests = [one, two, leased];
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  for (const guest of guests) guest.run('nft', COUNT_QUESTIONS);
  const questions = (guest: VethGuest) =>
    Number(/request counter packets (\d+)/.exec(guest.run('nft', 'list', 'ruleset'))?.[1]);
  /** Who gets the questions for this address. */
  const asked = async (address: string) => {
    ip('neigh', 'flush', 'dev', SPEC.bridge);
    const before = guests.map(questions);
    const counts = () => guests.map((guest, at) => questions(guest) > (before[at] ?? 0));
    socket.send('?', 9, address);
    await until(`somebody is asked for ${address}`, () => counts().includes(true));
    return counts();
  };
  assert.deepEqual(await asked('10.88.0.11'), [true, false, false]);
  assert.deepEqual(await asked('10.88.0.12'), [false, true, false]);
  // An address that is nobody’s may be that of the guest whose address is not known.
  assert.deepEqual(await asked('10.88.0.77'), [true, true, true]);
  changeGuestFilter({ settings: SETTINGS, admitted: [], left: [one.identity, two.identity] });
  assert.deepEqual(await asked('10.88.0.11'), [true, true, true]);
});

test('whose address another server gives may have any but those of the host and of others', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeNetwork(t);
  const [listener, third] = [createGuest(t, 11), createGuest(t, 12)];
  const guest = createGuest(t, 13);
  ip('address', 'add', '203.0.113.5/24', 'dev', SPEC.bridge);
  makeGuestFilter({ settings: SETTINGS, spec: SPEC, guests: [listener.identity] });
  const admitted = [{ ...guest.identity, ipAddress: null, asksForLease: true }, third.identity];
  changeGuestFilter({ settings: SETTINGS, admitted, left: [] });
  const send = createSender(t);
  const mac = guest.identity.macAddress;
  listener.run('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_accept');
  const claimed = [SPEC.hostIp, '203.0.113.5', '10.88.0.12', '10.88.0.77'];
  send(guest, ...claimed.map((address) => announcement(mac, mac, address)));
  await until('an address that is nobody’s is believed', () => {
    return neighbour(listener, '10.88.0.77') === mac;
  });
  for (const address of claimed.slice(0, 3)) assert.notEqual(neighbour(listener, address), mac);

  const echoes = () => /InEchos\s+(\d+)/.exec(listener.run('nstat', '-asz', 'IcmpInEchos'))?.[1];
  const to = listener.identity.macAddress;
  send(guest, ...claimed.map((address) => echoRequest(mac, to, address, '10.88.0.11')));
  await until('a packet from it arrives', () => echoes() !== '0');
  assert.equal(echoes(), '1');
  // The address may be the next guest's.
  changeGuestFilter({ settings: SETTINGS, admitted: [], left: [third.identity] });
  send(guest, announcement(mac, mac, '10.88.0.12'));
  await until('a free address is believed', () => neighbour(listener, '10.88.0.12') === mac);
});

test('isolated guests reach each other by host ports, and not by way of the host', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  const settings = { ...SETTINGS, guestIsolation: true };
  makeNetwork(t, settings);
  const [one, two] = [createGuest(t, 11), createGuest(t, 12)];
  await two.serve('guest-12', 9000);
  await createHostPlace(t).serve('host', 9001, SPEC.hostIp);
  const guests = [one.identity, two.identity];
  one.run('ip', 'route', 'add', '10.88.0.12/32', 'via', SPEC.hostIp);
  two.run('ip', 'route', 'add', '10.88.0.11/32', 'via', SPEC.hostIp);
  const targets = [{ address: '10.88.0.12', port: 9000 }];
  const forwards = [{ protocol: 'tcp', hostPort: 18500, targets } as const];
  setForwards({ settings, spec: SPEC, forwards, applied: null, routeLocalnetBefore: null });
  // Where Docker runs, for example, rules of IP hold for frames on a bridge, too.
  const values = existsSync(BRIDGES_ASK_IP) ? ['0', '1'] : [''];
  for (const value of values) {
    if (value !== '') writeFileSync(BRIDGES_ASK_IP, value);
    makeGuestFilter({ settings: SETTINGS, spec: SPEC, guests });
    assert.equal(await one.reach('tcp', '10.88.0.12', 9000), 'guest-12', 'when not isolated');
    makeGuestFilter({ settings, spec: SPEC, guests });
    assert.equal(await one.ask('tcp', '10.88.0.12', 9000), null, `by way of the host, ${value}`);
    assert.equal(await one.reach('tcp', SPEC.hostIp, 9001), 'host');
    assert.equal(
      await one.reach('tcp', SPEC.hostIp, 18500),
      'guest-12',
      `by a host port, ${value}`,
    );
  }
});
