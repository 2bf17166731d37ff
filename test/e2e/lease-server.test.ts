// e2e: our DHCP server as guests see it, and the agent's DHCP client as servers see it, without machines.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { GuestIdentity } from '../../src/engine/ports/network-ports.ts';
import { native } from '../../src/host/jobs/native.ts';
import { endLeaseServer, serveLeases } from '../../src/host/jobs/network/dhcp-server.ts';
import { buildDhcpClient, temporaryDirectory } from '../guest/programs.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { createGuest, ip, makeNetwork, SETTINGS, SPEC, type VethGuest } from './veth-guests.ts';

const DIRECTORY = `/run/volant-dhcp-${SETTINGS.hostTag}`;

function serve(guests: readonly GuestIdentity[], settings = SETTINGS): void {
  const found = serveLeases({ settings, spec: SPEC, guests, watchedPid: null });
  if (found !== null) native.closeFd(found.pidfd);
}

const serverPid = () => Number(readFileSync(`${DIRECTORY}/state/pid`, 'utf8'));

function createAsking(t: TestContext, number: number): VethGuest {
  const guest = createGuest(t, number);
  // Its link is up and has no address.
  guest.run('ip', 'address', 'flush', 'dev', 'eth0');
  return { ...guest, identity: { ...guest.identity, asksForLease: true } };
}

/** The agent's client in a guest: "eth0 ADDRESS GATEWAY NAME-SERVER" for the first lease. */
function createClient(): (guest: VethGuest) => string {
  const program = buildDhcpClient();
  return (guest) => guest.run('timeout', '20', program, 'eth0', 'once').trim();
}

test('whatever the umask of the daemon, the server can read whom it serves', (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  makeNetwork(t);
  const ask = createClient();
  endLeaseServer(SETTINGS.hostTag);
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  const [one, two] = [createAsking(t, 11), createAsking(t, 12)];
  serve([one.identity]);
  assert.equal(ask(one), 'eth0 10.88.0.11 10.88.0.1 9.9.9.9');
  serve([one.identity, two.identity]);
  assert.equal(ask(two), 'eth0 10.88.0.12 10.88.0.1 9.9.9.9');
});

test('the server, which hears every guest, can do nothing but serve leases', (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  makeNetwork(t);
  serve([createAsking(t, 11).identity]);
  const pid = serverPid();
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const uid = SETTINGS.firstUid;
  assert.match(status, new RegExp(`^Uid:(\\t${uid}){4}$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_NET_RAW.
  assert.match(status, /^CapBnd:\t0{12}3400$/m);
  assert.deepEqual(readdirSync(`/proc/${pid}/root/run`), [DIRECTORY.slice('/run/'.length)]);
  for (const absent of ['/etc/passwd', '/proc/self', '/sys/kernel', '/root', '/dev/kvm']) {
    assert.equal(existsSync(`/proc/${pid}/root${absent}`), false, absent);
  }
  // What it leaves behind leads nowhere when it is ended and started again.
  const secret = join(temporaryDirectory(t), 'secret');
  writeFileSync(secret, 'secret');
  for (const name of ['leases', 'log']) {
    rmSync(`${DIRECTORY}/state/${name}`);
    symlinkSync(secret, `${DIRECTORY}/state/${name}`);
  }
  serve([createAsking(t, 12).identity], { ...SETTINGS, nameServers: ['8.8.8.8'] });
  assert.notEqual(serverPid(), pid);
  assert.equal(readFileSync(secret, 'utf8'), 'secret');
});

test('a server that runs with other settings is replaced, one that has them is not', (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  makeNetwork(t);
  const ask = createClient();
  const guest = createAsking(t, 11);
  serve([guest.identity]);
  const first = serverPid();
  serve([guest.identity]);
  assert.equal(serverPid(), first);
  serve([guest.identity], { ...SETTINGS, nameServers: ['8.8.8.8'] });
  assert.notEqual(serverPid(), first);
  assert.equal(ask(guest), 'eth0 10.88.0.11 10.88.0.1 8.8.8.8');
});

/** A server that offers 10.88.0.11, and confirms nothing before the client has begun again. */
async function startForgetfulServer(t: TestContext): Promise<{ readonly began: Set<string> }> {
  const [DISCOVER, OFFER, ACK] = [1, 2, 5];
  const began = new Set<string>();
  const server = createSocket('udp4');
  t.after(() => server.close());
  server.on('message', (message) => {
    const type = message[242];
    if (type === DISCOVER) began.add(message.toString('hex', 4, 8));
    if (type !== DISCOVER && began.size < 2) return;
    const head = Buffer.from(message.subarray(0, 240));
    head[0] = 2;
    head.set([10, 88, 0, 11], 16);
    const options = [
      53,
      1,
      type === DISCOVER ? OFFER : ACK,
      54,
      4,
      10,
      88,
      0,
      1,
      51,
      4,
      0,
      0,
      14,
      16,
      255,
    ];
    server.send(Buffer.concat([head, Buffer.from(options)]), 68, '255.255.255.255');
  });
  server.bind(67, '0.0.0.0');
  await once(server, 'listening');
  server.setBroadcast(true);
  return { began };
}

test('a client whose request is never confirmed begins again', async (t) => {
  if (!requireCapability(t, 'root', 'netns')) return;
  makeNetwork(t);
  ip('route', 'add', '255.255.255.255/32', 'dev', SPEC.bridge);
  const guest = createAsking(t, 11);
  const { began } = await startForgetfulServer(t);
  const program = buildDhcpClient();
  const [line] = await guest.linesOf('timeout', '30', program, 'eth0', 'once');
  assert.match(line ?? '', /^eth0 10\.88\.0\.11 /);
  assert.equal(began.size, 2);
});
