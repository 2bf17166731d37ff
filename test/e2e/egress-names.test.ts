// e2e: names in egress rules, with real look-ups and without machines: which names resolve, what their addresses open and for
// how long, and what of a look-up leaves the host.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ExitWatcher } from '../../src/host/exit-watcher.ts';
import { JobFault } from '../../src/host/jobs/fault.ts';
import * as egressJobs from '../../src/host/jobs/network/egress/egress.ts';
import { endResolvers, serveNames } from '../../src/host/jobs/network/egress/resolvers.ts';
import type { HostSettings, Run } from '../../src/host/jobs/protocol.ts';
import { GuestEgress } from '../../src/host/network/guest-egress.ts';
import { VolantError } from '../../src/lib/errors.ts';
import type { EgressRules } from '../../src/lib/net/egress.ts';
import { policyIdOf } from '../../src/lib/net/egress.ts';
import { silentLog } from '../engine/silent-log.ts';
import { temporaryDirectory } from '../guest/programs.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import {
  createGuest,
  createHostPlace,
  createOutside,
  ip,
  makeNetwork,
  type Place,
  SETTINGS,
  SPEC,
  type VethGuest,
} from './veth-guests.ts';

const PORT = 9000;
const NAME_SERVER = '198.51.100.2';
const settings: HostSettings = { ...SETTINGS, nameServers: [NAME_SERVER] };

const jobs = { ...egressJobs, serveNames };
/** A job that fails rejects as on a thread, so that the tables are written again where a change fails. */
const run: Run = async (name, argument) => {
  const job = (jobs as unknown as Record<string, (argument: unknown) => never>)[name];
  try {
    return job?.(argument) as never;
  } catch (error) {
    if (!(error instanceof JobFault)) throw error;
    const { code, message, cause } = error.fault;
    throw new VolantError(code, message, { cause: new Error(cause) });
  }
};

/** Addresses of names, on the loopback of the machine beyond the host. */
const ZONE: Readonly<Record<string, string>> = {
  'example.org': '198.18.0.1',
  'www.example.org': '198.18.0.2',
  'bad.example.org': '198.18.0.3',
  'bücher.example': '198.18.0.4',
  'other.test': '198.18.0.5',
  'inside.example.org': '10.88.0.12',
  'host.example.org': SPEC.hostIp,
  'metadata.example.org': '169.254.169.254',
};

const NAME_SERVER_PROGRAM = `
  const { appendFileSync } = require('node:fs');
  const { domainToASCII } = require('node:url');
  const [address, log, zoneText] = process.argv.slice(1);
  const zone = Object.entries(JSON.parse(zoneText)).map(([name, to]) => [domainToASCII(name), to]);
  const addresses = new Map(zone);
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('message', (query, from) => {
    const labels = [];
    let at = 12;
    for (; query[at] !== 0; at += query[at] + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    appendFileSync(log, name + ' ' + type + '\\n');
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    const found = type === 1 ? addresses.get(name) : undefined;
    head.writeUInt16BE(addresses.has(name) ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(found ? 1 : 0, 6);
    const answer = found
      ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, ...found.split('.').map(Number)])
      : Buffer.alloc(0);
    socket.send(Buffer.concat([head, query.subarray(12, at + 5), answer]), from.port, from.address);
  }).bind(53, address, () => console.log('serves'));`;

const LOOK_UP = `
  const [server, name, type] = process.argv.slice(1);
  const { Resolver } = require('node:dns').promises;
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  resolver.setServers([server]);
  const options = type === 'A' ? { ttl: true } : undefined;
  const asked = type === 'A' ? resolver.resolve4(name, options) : resolver.resolve(name, type);
  asked.then(
    ([first]) => console.log(type === 'A' ? first.address + ' ' + first.ttl : String(first)),
    ({ code }) => console.log(code));`;

/** Asks a server for a name; the address and its time to live, or the code of the error. */
const lookUp = (place: Place, name: string, server = NAME_SERVER, type = 'A') =>
  place.run(process.execPath, '-e', LOOK_UP, server, name, type).trim();

const rulesOf = (
  otherwise: 'allow' | 'deny',
  lists: Partial<Pick<EgressRules, 'allow' | 'deny'>> = {},
): EgressRules => ({ default: otherwise, allow: [], deny: [], ...lists });

interface World {
  readonly guest: VethGuest;
  readonly outside: Place;
  /** A name server that knows the same names. */
  startNameServer(address: string): Promise<void>;
  set(rules: EgressRules, guest?: VethGuest): Promise<void>;
  /** Look-ups that arrived at the name server since the last call: "name type". */
  asked(): readonly string[];
}

async function createWorld(t: TestContext): Promise<World> {
  makeNetwork(t, settings);
  endResolvers(settings.hostTag);
  const exits = new ExitWatcher();
  const egress = new GuestEgress(settings, run, exits, silentLog);
  t.after(() => {
    egress.close();
    endResolvers(settings.hostTag);
    exits.close();
  });
  egress.addExisting([]);
  await egress.make(SPEC);
  const guest = createGuest(t, 11);
  const outside = createOutside(t);
  const log = join(temporaryDirectory(t), 'asked');
  writeFileSync(log, '');
  for (const address of Object.values(ZONE)) {
    if (!address.startsWith('198.18.')) continue;
    outside.run('ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
  }
  ip('route', 'add', '198.18.0.0/15', 'via', NAME_SERVER);
  const startNameServer = (address: string) =>
    outside.program(NAME_SERVER_PROGRAM, address, log, JSON.stringify(ZONE));
  await startNameServer(NAME_SERVER);
  await outside.serve('outside', PORT);
  let seen = 0;
  return {
    guest,
    outside,
    startNameServer,
    set: (rules, other = guest) => egress.set(SPEC, { ...other.identity, egress: rules }),
    asked: () => {
      const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean);
      const fresh = lines.slice(seen);
      seen = lines.length;
      return fresh;
    },
  };
}

const ask = (guest: VethGuest, address: string, port = PORT) => guest.ask('tcp', address, port);
const reach = (guest: VethGuest, address: string, port = PORT) => guest.reach('tcp', address, port);

test('a name that is allowed resolves and is reached, and no other', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, outside, set, asked } = await createWorld(t);
  assert.match(lookUp(guest, 'other.test'), /^198\.18\.0\.5 3600$/, 'without rules');
  asked();
  await set(
    rulesOf('deny', {
      allow: ['*.example.org', 'xn--bcher-kva.example:9000'],
      deny: ['bad.example.org'],
    }),
  );
  assert.equal(await ask(guest, '198.18.0.2'), null, 'its address is closed before the look-up');
  assert.equal(lookUp(guest, 'www.example.org'), '198.18.0.2 60', 'for as long as it is open');
  assert.equal(await reach(guest, '198.18.0.2'), 'outside');
  await outside.serve('www', PORT + 2, '198.18.0.2');
  assert.equal(await guest.reach('udp', '198.18.0.2', PORT + 2), 'www');
  assert.equal(lookUp(guest, 'bücher.example'), '198.18.0.4 60');
  assert.equal(await reach(guest, '198.18.0.4'), 'outside', 'with its port');
  assert.deepEqual(asked(), ['www.example.org 1', 'xn--bcher-kva.example 1']);
  for (const name of ['example.org', 'bad.example.org', 'other.test', 'secret.attacker.test']) {
    assert.match(lookUp(guest, name), /^(EREFUSED|ENOTFOUND)$/, name);
  }
  for (const address of ['198.18.0.1', '198.18.0.3', '198.18.0.5']) {
    assert.equal(await ask(guest, address), null, address);
  }
  assert.match(lookUp(guest, 'secret.attacker.test', NAME_SERVER, 'TXT'), /EREFUSED/);
  assert.match(lookUp(guest, '5.0.18.198.in-addr.arpa', NAME_SERVER, 'PTR'), /EREFUSED/);
  assert.deepEqual(asked(), [], 'nothing of that left the host');
});

test('an exact name opens none below it, and a denied name none but itself', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, set, asked } = await createWorld(t);
  await set(rulesOf('deny', { allow: ['example.org'] }));
  assert.match(lookUp(guest, 'example.org'), /^198\.18\.0\.1 /);
  assert.match(lookUp(guest, 'www.example.org'), /EREFUSED|ENOTFOUND/);
  assert.match(lookUp(guest, 'data.data.example.org', NAME_SERVER, 'TXT'), /EREFUSED|ENOTFOUND/);
  assert.deepEqual(asked(), ['example.org 1']);
  await set(rulesOf('allow', { deny: ['*.example.org'] }));
  assert.match(lookUp(guest, 'example.org'), /^198\.18\.0\.1 /);
  assert.match(lookUp(guest, 'other.test'), /^198\.18\.0\.5 /);
  assert.match(lookUp(guest, 'www.example.org'), /EREFUSED|ENOTFOUND/);
  assert.equal(await reach(guest, '198.18.0.5'), 'outside');
});

test('a guest with names asks no other server, by whatever way', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, outside, startNameServer, set, asked } = await createWorld(t);
  outside.run('ip', 'address', 'add', '8.8.8.8/32', 'dev', 'lo');
  await startNameServer('8.8.8.8');
  ip('route', 'add', '8.8.8.8/32', 'via', NAME_SERVER);
  await outside.serve('tls', 853);
  assert.match(lookUp(guest, 'other.test', '8.8.8.8'), /^198\.18\.0\.5 /, 'without rules');
  assert.equal(await reach(guest, '8.8.8.8', 853), 'tls');
  for (const rules of [
    rulesOf('deny', { allow: ['*.example.org', '0.0.0.0/0'] }),
    rulesOf('allow', { deny: ['bad.example.org'] }),
  ]) {
    await set(rules);
    asked();
    assert.match(lookUp(guest, 'other.test', '8.8.8.8'), /ECONNREFUSED|ETIMEOUT/);
    assert.equal(await ask(guest, '8.8.8.8', 53), null);
    assert.equal(await ask(guest, '8.8.8.8', 853), null);
    assert.deepEqual(asked(), []);
    assert.equal(await reach(guest, '198.18.0.5'), 'outside', 'everything else is open');
  }
  await set(rulesOf('deny', { allow: ['*.example.org', '8.8.8.8:53'] }));
  assert.match(lookUp(guest, 'other.test', '8.8.8.8'), /^198\.18\.0\.5 /, 'an entry with the port');
});

test('a name opens neither the host, nor guests, nor metadata addresses', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, outside, set } = await createWorld(t);
  const other = createGuest(t, 12);
  await other.serve('guest-12', PORT);
  await createHostPlace(t).serve('host', PORT, SPEC.hostIp);
  outside.run('ip', 'address', 'add', '169.254.169.254/32', 'dev', 'lo');
  ip('route', 'add', '169.254.169.254/32', 'via', NAME_SERVER);
  await set(rulesOf('deny', { allow: ['*.example.org'] }));
  for (const name of ['inside', 'host', 'metadata']) {
    const [address = ''] = lookUp(guest, `${name}.example.org`).split(' ');
    assert.equal(address, ZONE[`${name}.example.org`]);
    assert.equal(await ask(guest, address), null, name);
  }
});

test('an address is closed after its time, and connections continue', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, outside, set } = await createWorld(t);
  await outside.echo(PORT + 1);
  const rules = rulesOf('deny', { allow: ['www.example.org'] });
  await set(rules);
  lookUp(guest, 'www.example.org');
  const connection = await guest.talk('198.18.0.2', PORT + 1);
  assert.equal(await connection.hear('before'), 'before');
  const empty = (turn: 0 | 1) => egressJobs.emptyLearned({ settings, policies: [rules], turn });
  empty(0);
  assert.equal(await reach(guest, '198.18.0.2'), 'outside', 'one half has it still');
  lookUp(guest, 'www.example.org');
  empty(1);
  assert.equal(await reach(guest, '198.18.0.2'), 'outside', 'it was asked for again');
  empty(0);
  assert.equal(await ask(guest, '198.18.0.2'), null);
  assert.equal(await connection.hear('after'), 'after');
  lookUp(guest, 'www.example.org');
  assert.equal(await reach(guest, '198.18.0.2'), 'outside');
  await set(rulesOf('deny', { allow: ['other.test'] }));
  assert.equal(await connection.say('cut'), null, 'the name is not allowed any more');
});

test('guests with other rules use neither the resolver nor the addresses of a policy', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, set, asked } = await createWorld(t);
  const [other, free] = [createGuest(t, 12), createGuest(t, 13)];
  await set(rulesOf('deny', { allow: ['www.example.org'] }));
  await set(rulesOf('deny', { allow: ['other.test'] }), other);
  assert.match(lookUp(guest, 'www.example.org'), /^198/);
  assert.match(lookUp(other, 'www.example.org'), /EREFUSED/);
  assert.equal(await ask(other, '198.18.0.2'), null);
  assert.match(lookUp(other, 'other.test'), /^198/);
  assert.match(lookUp(free, 'bad.example.org'), /^198/);
  asked();
  for (const place of [guest, other, free]) {
    for (const port of [20_053, 20_054]) {
      assert.match(
        lookUp(place, 'www.example.org', `${SPEC.hostIp}:${port}`),
        /ECONNREFUSED|ETIMEOUT/,
      );
    }
  }
  assert.deepEqual(asked(), []);
});

test('a resolver that is killed is started again, and meanwhile no name resolves', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, set, asked } = await createWorld(t);
  const rules = rulesOf('deny', { allow: ['www.example.org'] });
  await set(rules);
  const pidFile = `/run/volant-dns-${settings.hostTag}/${policyIdOf(rules)}/state/pid`;
  const pid = Number(readFileSync(pidFile, 'utf8'));
  assert.match(lookUp(guest, 'www.example.org'), /^198/);
  asked();
  process.kill(pid, 'SIGKILL');
  assert.match(lookUp(guest, 'www.example.org'), /ECONNREFUSED|ETIMEOUT/);
  assert.deepEqual(asked(), [], 'nothing leaks');
  while (!/^198/.test(lookUp(guest, 'www.example.org'))) await pause(50);
  assert.notEqual(Number(readFileSync(pidFile, 'utf8')), pid);
  assert.equal(await reach(guest, '198.18.0.2'), 'outside');
  await set(rulesOf('deny'));
  assert.throws(() => readFileSync(pidFile), /ENOENT/, 'nobody needs it any more');
});

test('a resolver, which hears guests, has no privileges but those of the DHCP server', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { set } = await createWorld(t);
  const rules = rulesOf('deny', { allow: ['www.example.org'] });
  await set(rules);
  const root = `/run/volant-dns-${settings.hostTag}`;
  const pid = Number(readFileSync(`${root}/${policyIdOf(rules)}/state/pid`, 'utf8'));
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:(\\t${settings.firstUid}){4}$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^CapBnd:\t0{12}3400$/m);
  for (const absent of ['/etc/passwd', '/proc/self', '/root', '/dev/kvm']) {
    assert.equal(existsSync(`/proc/${pid}/root${absent}`), false, absent);
  }
});

test('a flood of look-ups of one guest is refused, others are answered', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'dnsmasq')) return;
  const { guest, set, asked } = await createWorld(t);
  const other = createGuest(t, 12);
  const rules = rulesOf('deny', { allow: ['*.example.org'] });
  await set(rules);
  await set(rules, other);
  const flood = `
    const socket = require('node:dgram').createSocket('udp4');
    const query = Buffer.from('0001010000010000000000000377777707657861' + '6d706c65036f72670000010001', 'hex');
    let left = 2000;
    socket.on('error', () => {});
    for (let i = 0; i < left; i += 1) socket.send(query, 53, '${NAME_SERVER}', () => { if ((left -= 1) === 0) process.exit(); });`;
  guest.run(process.execPath, '-e', flood);
  // What was let through may still be waiting before it.
  await untilPasses(() => assert.match(lookUp(other, 'www.example.org'), /^198/));
  const arrived = asked().length;
  assert.ok(arrived > 10 && arrived < 1000, `${arrived} arrived`);
  const [count] = egressJobs
    .countEgress({ settings })
    .filter((one) => one.ipAddress === '10.88.0.11');
  assert.ok((count?.refusedPackets ?? 0) > 500);
});
