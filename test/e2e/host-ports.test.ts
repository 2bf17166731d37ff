// e2e: published ports, and what guests may not send: real guests, real packets, real rules.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { askGuest, type Daemon, firstEvent, startDaemon } from './daemon.ts';
import { installProbe, reaches } from './probe-image.ts';

const AGENT_PORT = 8080;

/** What the host's port answers with the name of the guest behind it; null while nothing is there. */
async function guestBehind(hostPort: number, host = '127.0.0.1'): Promise<string | null> {
  try {
    const url = `http://${host}:${hostPort}/v1/cgi-bin/hostname`;
    // A connection of its own: one that is kept open stays with its guest.
    const headers = { connection: 'close' };
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(30_000) });
    return response.ok ? (await response.text()).trim() : null;
  } catch (error) {
    if (error instanceof TypeError || (error as Error).name === 'TimeoutError') return null;
    throw error;
  }
}

async function untilBehind(hostPort: number, isRight: (name: string | null) => boolean) {
  for (let tries = 0; tries < 300; tries += 1) {
    const name = await guestBehind(hostPort);
    if (isRight(name)) return name;
    await pause(50);
  }
  throw new Error(`port ${hostPort} does not lead where it should`);
}

const portRules = (): string =>
  execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes('dnat to') || line.includes('dnat ip to'))
    .join('\n');

const expose = (host_port: number, more: object = {}) => ({
  config: { expose: [{ port: AGENT_PORT, host_port, ...more }] },
});

test('a host port leads to its guest, changes without a restart, and is free after a stop', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  await daemon.createVm('web', { plugin: 'probe', ...expose(18080) });
  assert.match(portRules(), /tcp dport 18080 dnat/, 'in place when it is said to run');
  await untilBehind(18080, (name) => name === 'web');
  assert.equal(await guestBehind(18080, '192.168.127.1'), 'web');
  assert.equal(await guestBehind(18080, '[::1]'), 'web');

  const { pid } = await daemon.getVm('web');
  const patched = await daemon.call('PATCH', '/api/v1/vms/web/config', expose(18081).config);
  assert.equal(patched.status, 200, patched.text);
  assert.equal(patched.body.pending_restart, false);
  assert.equal(await guestBehind(18081), 'web');
  assert.equal(await guestBehind(18080), null);
  assert.equal(await guestBehind(18081, '[::1]'), 'web');
  assert.equal(await guestBehind(18080, '[::1]'), null);
  assert.equal((await daemon.getVm('web')).pid, pid);

  await daemon.killAndRestart();
  assert.equal(await guestBehind(18081), 'web', 'it outlives the daemon');
  const thief = createServer().listen(18081, '127.0.0.1');
  const [error] = await once(thief, 'error');
  assert.equal(error.code, 'EADDRINUSE', 'no program can take it');

  assert.equal((await daemon.call('POST', '/api/v1/vms/web/stop')).status, 200);
  assert.equal(portRules(), '');
  const server = createServer().listen(18081, '127.0.0.1');
  await once(server, 'listening');
  const refused = await daemon.call('POST', '/api/v1/vms/web/start');
  assert.equal(refused.status, 409, refused.text);
  assert.equal(refused.body.code, 'PORT_TAKEN');
  assert.match(refused.body.error, new RegExp(`process ${process.pid}`));
  assert.deepEqual(daemon.taps(), [], 'a refused start leaves nothing');
  server.close();
  assert.equal((await daemon.call('POST', '/api/v1/vms/web/start')).status, 200);
  await untilBehind(18081, (name) => name === 'web');
});

test('a port has one owner, who is named to others that ask for it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await daemon.createVm('first', expose(18090));
  const second = { name: 'second', plugin: 'hello', ...expose(18090) };
  const refused = await daemon.call('POST', '/api/v1/vms', second);
  assert.equal(refused.status, 409);
  assert.equal(refused.body.code, 'PORT_TAKEN');
  assert.match(refused.body.error, /VM first/);
  assert.equal(daemon.taps().length, 1);
  const udp = { name: 'udp', plugin: 'hello', ...expose(18090, { protocol: 'udp' }) };
  assert.equal((await daemon.call('POST', '/api/v1/vms', udp)).status, 201, 'udp is another port');
  await daemon.createVm('third', expose(18091));
  const patch = await daemon.call('PATCH', '/api/v1/vms/third/config', expose(18090).config);
  assert.equal(patch.status, 409);
  assert.match(patch.body.error, /VM first/);
  assert.match(portRules(), /tcp dport 18091 /, 'and keeps the port that it had');
  const deployment = {
    name: 'd',
    replicas: 2,
    config: { plugin: 'hello', ...expose(18089).config },
  };
  const overlapping = await daemon.call('POST', '/api/v1/deployments', deployment);
  assert.equal(overlapping.status, 409, overlapping.text);
  assert.match(overlapping.body.error, /18090 belongs to VM first/);
  await daemon.call('DELETE', '/api/v1/vms/first');
  assert.equal((await daemon.call('POST', '/api/v1/vms', second)).status, 201);
});

test('a port that another program took while no daemon ran stays with that program, and this is reported', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await daemon.createVm('first', expose(18095));
  await daemon.createVm('second', expose(18096));
  await daemon.kill('SIGKILL');
  const server = createServer((connection) => connection.end('a program')).listen(18095);
  t.after(() => server.close());
  await once(server, 'listening');
  await daemon.start();
  const lost = await firstEvent(daemon, 'HOST_PORT_LOST');
  assert.match(lost, new RegExp(`"name":"first".*18095.*process ${process.pid}`));
  for (let tries = 0; tries < 200 && portRules().includes('18095'); tries += 1) await pause(50);
  assert.match(portRules(), /tcp dport 18096 dnat/, 'and the other one’s is as it was');
  const client = connect(18095, '127.0.0.1');
  assert.equal(String((await once(client, 'data'))[0]), 'a program');
  client.destroy();
});

test('a deployment is refused the port of another program at once, and so is a scale-up', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const server = createServer().listen(18099);
  t.after(() => server.close());
  await once(server, 'listening');
  const request = { name: 'd', replicas: 2, config: { plugin: 'hello', ...expose(18098).config } };
  const refused = await daemon.call('POST', '/api/v1/deployments', request);
  assert.equal(refused.status, 409, refused.text);
  assert.equal(refused.body.code, 'PORT_TAKEN');
  assert.match(refused.body.details['tcp 18099'], new RegExp(`process ${process.pid}`));
  assert.equal((await daemon.call('GET', '/api/v1/deployments/d')).status, 404);
  const one = await daemon.call('POST', '/api/v1/deployments?wait=ready', {
    ...request,
    replicas: 1,
  });
  assert.equal(one.status, 201, one.text);
  const scaled = await daemon.call('PATCH', '/api/v1/deployments/d', { replicas: 2 });
  assert.equal(scaled.status, 409, scaled.text);
  server.close();
  await once(server, 'close');
  const later = await daemon.call('PATCH', '/api/v1/deployments/d?wait=ready', { replicas: 2 });
  assert.equal(later.status, 200, later.text);
  assert.match(portRules(), /tcp dport 18099 dnat/);
});

test('replicas have a port each, or share one among those that are ready', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const ports = [
    { port: AGENT_PORT, host_port: 18100, balanced: true },
    { port: AGENT_PORT, host_port: 18101 },
  ];
  const request = { name: 'set', replicas: 2, config: { plugin: 'probe', expose: ports } };
  const made = await daemon.call('POST', '/api/v1/deployments?wait=ready', request);
  assert.equal(made.status, 201, made.text);
  assert.equal(await guestBehind(18101), 'set-1');
  assert.equal(await guestBehind(18102), 'set-2');
  await untilBehind(18100, (name) => name !== null);
  await untilPasses(async () => assert.deepEqual(await guestsInTurn(4), ['set-1', 'set-2']));
  const slow = Promise.all([slowAnswer(18100), slowAnswer(18100)]);
  await pause(500);
  const scaled = await daemon.call('PATCH', '/api/v1/deployments/set?wait=ready&timeout=120000', {
    replicas: 1,
  });
  assert.equal(scaled.status, 200, scaled.text);
  assert.deepEqual(scaled.body.replicas, ['set-1']);
  assert.deepEqual((await slow).sort(), ['set-1', 'set-2'], 'what was under way came to its end');
  assert.deepEqual(await guestsInTurn(4), ['set-1']);
  await daemon.call('DELETE', '/api/v1/deployments/set');
  for (let tries = 0; tries < 200 && daemon.taps().length > 0; tries += 1) await pause(50);
  assert.equal(portRules(), '');
});

/** The name of the guest that took some seconds to tell it. */
async function slowAnswer(hostPort: number): Promise<string> {
  const headers = { connection: 'close' };
  const url = `http://127.0.0.1:${hostPort}/v1/cgi-bin/slow`;
  return (await (await fetch(url, { headers })).text()).trim();
}

/** The names behind the shared port after so many connections, each once. */
async function guestsInTurn(connections: number): Promise<(string | null)[]> {
  const names = [];
  for (let count = 0; count < connections; count += 1) names.push(await guestBehind(18100));
  return [...new Set(names)].sort();
}

/** Lost packets in percent when the guest asks for the host under a name that is not its own. */
async function pingAs(daemon: Daemon, what: 'address' | 'mac'): Promise<string> {
  const path = `/api/v1/vms/forger/agent/v1/cgi-bin/forge-${what}`;
  const { status, text } = await daemon.call('GET', path);
  assert.equal(status, 200, text);
  return /(\d+)% packet loss/.exec(text)?.[1] ?? text;
}

test('a guest that sends under another address is not heard', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  for (const [setting, lost] of [
    ['off', '0'],
    ['on', '100'],
  ] as const) {
    const daemon = await startDaemon(t, { VOLANT_ANTI_SPOOFING: setting });
    await installProbe(daemon);
    const vm = await daemon.createVm('forger', { plugin: 'probe' });
    await askGuest(vm.ip_address, '/v1/cgi-bin/hostname');
    for (const what of ['address', 'mac'] as const) {
      const check = async () =>
        assert.equal(await pingAs(daemon, what), lost, `${what}, ${setting}`);
      // On a host that is busy an answer may be late. One that must not come never comes.
      await (lost === '0' ? untilPasses(check) : check());
    }
    await daemon.call('DELETE', '/api/v1/vms/forger');
    const rules = execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' });
    assert.ok(!rules.includes(vm.mac_address), 'nothing of it stays in the rules');
    await daemon.terminate();
    execFileSync('ip', ['link', 'delete', 'vbr0']);
  }
});

test('isolated guests reach the host and not each other', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t, { VOLANT_GUEST_ISOLATION: 'on' });
  await installProbe(daemon);
  const one = await daemon.createVm('one', { plugin: 'probe' });
  const two = await daemon.createVm('two', { plugin: 'probe' });
  for (const { ip_address } of [one, two]) await askGuest(ip_address, '/v1/cgi-bin/hostname');
  const ping = `/v1/cgi-bin/ping?${two.ip_address}`;
  assert.match(await askGuest(one.ip_address, ping), /100% packet loss/);
  await reaches(() => askGuest(one.ip_address, '/v1/cgi-bin/ping?192.168.127.1'));
});
