// e2e: egress rules of a daemon's guests: changed by the API while a guest runs, kept while no daemon runs, put back when
// somebody removes them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { EgressStatus } from '../../src/schema/egress.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { installProbe, reaches } from './probe-image.ts';

const HOST = '192.168.127.1';
const HOST_PORT = 18_261;
const TIMEOUT_MS = 30_000;

const nft = (...args: string[]) => execFileSync('nft', args, { encoding: 'utf8' });
const tableOf = () => /volant_[0-9a-f]{4}_egress/.exec(nft('list', 'tables'))?.[0] ?? '';

async function setRules(daemon: Daemon, name: string, egress: object | null) {
  const network = egress === null ? null : { egress };
  const answer = await daemon.call('PATCH', `/api/v1/vms/${name}/config`, { network });
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

async function statusOf(daemon: Daemon, name: string): Promise<EgressStatus> {
  const answer = await daemon.call('GET', `/api/v1/vms/${name}/egress`);
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

/** An operation that must succeed. */
async function succeed(daemon: Daemon, method: string, path: string, body?: object): Promise<void> {
  const { status, text } = await daemon.call(method, path, body);
  assert.ok(status >= 200 && status < 300, `${method} ${path}: ${status} ${text}`);
}

/** Until a reading of the rules is what it shall be. */
async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`${what}: ${nft('list', 'ruleset')}`);
    await pause(20);
  }
}

test('a running guest is held to its rules at once, whatever becomes of the daemon', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const config = {
    network: { egress: { default: 'deny' } },
    expose: [{ port: 8080, host_port: HOST_PORT }],
  };
  const vm = await daemon.createVm('one', { plugin: 'probe', config });
  const ping = () => askGuest(vm.ip_address, `/v1/cgi-bin/ping?${HOST}`);
  assert.match(await ping(), /100% packet loss/, 'from its first packet on');
  const published = await fetch(`http://127.0.0.1:${HOST_PORT}/v1/cgi-bin/hostname`);
  assert.match(await published.text(), /one/, 'it answers by its published port');

  const changed = await setRules(daemon, 'one', { default: 'deny', allow: [` ${HOST}/32 `] });
  assert.equal(changed.pending_restart, false);
  assert.deepEqual(changed.config.network.egress, { default: 'deny', allow: [HOST], deny: [] });
  await reaches(() => ping());
  assert.equal((await daemon.getVm('one')).pid, vm.pid, 'it was not started again');
  const counted = await statusOf(daemon, 'one');
  assert.deepEqual(counted.rules, { default: 'deny', allow: [HOST], deny: [] });
  assert.equal(counted.in_force, true);
  assert.ok(counted.packets >= 2 && counted.bytes > 0);
  assert.ok(counted.refused_packets >= 2 && counted.refused_bytes > 0);
  const metrics = (await daemon.call('GET', '/metrics')).text;
  const metric = (unit: string) =>
    Number(
      new RegExp(`^volant_vm_egress_refused_${unit}_total\\{vm="one"\\} (\\d+)$`, 'm').exec(
        metrics,
      )?.[1],
    );
  assert.ok(metric('packets') >= counted.refused_packets, metrics);
  assert.ok(metric('bytes') >= counted.refused_bytes);

  await setRules(daemon, 'one', { default: 'allow', deny: ['192.168.127.0/24'] });
  assert.match(await ping(), /100% packet loss/);
  await daemon.kill('SIGKILL');
  assert.match(await ping(), /100% packet loss/, 'while no daemon runs');
  await daemon.start();
  assert.match(await ping(), /100% packet loss/, 'under the next daemon');
  const later = await statusOf(daemon, 'one');
  assert.ok(later.refused_packets > counted.refused_packets, 'the count goes on');

  const table = tableOf();
  for (const family of ['ip', 'bridge']) {
    nft('delete', 'table', family, table);
    await until(() => nft('list', 'tables').includes(`table ${family} ${table}`), family);
    await until(() => nft('list', 'table', 'ip', table).includes(`${vm.ip_address} : goto`), 'one');
    assert.match(await ping(), /100% packet loss/, `the table of ${family} was removed`);
  }
  const chain = /chain (p[0-9a-f]{20}) /.exec(nft('list', 'table', 'ip', table))?.[1] ?? '';
  nft('flush', 'chain', 'ip', table, chain);
  const audit = await daemon.call('GET', '/api/v1/system/audit?repair=true');
  assert.equal(audit.status, 200, audit.text);
  assert.match(await ping(), /100% packet loss/, 'its rules were removed one by one');

  await setRules(daemon, 'one', null);
  await reaches(() => ping());
  assert.equal((await statusOf(daemon, 'one')).rules, null);
});

test('guests with the same rules share them, and leave nothing behind', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const config = { network: { egress: { default: 'deny', allow: ['10.0.0.0/8:443'] } } };
  const plugin = (await daemon.call('GET', '/api/v1/plugins/hello')).body;
  const network = { mode: 'bridged', egress: { default: 'deny', deny: ['203.0.113.0/24'] } };
  await succeed(daemon, 'POST', '/api/v1/plugins', { ...plugin, name: 'held', network });
  const names = Array.from({ length: 12 }, (_, index) => `one-${index}`);
  await Promise.all(names.map((name) => daemon.createVm(name, { config })));
  await daemon.createVm('of-plugin', { plugin: 'held' });
  await daemon.createVm('free');
  const text = () => nft('list', 'table', 'ip', tableOf());
  const chains = () => [...text().matchAll(/chain p[0-9a-f]{20} /g)].length;
  const held = () => [...text().matchAll(/ : goto p/g)].length;
  assert.equal(chains(), 2);
  assert.equal(held(), 13);
  assert.deepEqual((await statusOf(daemon, 'of-plugin')).rules?.deny, ['203.0.113.0/24']);
  assert.equal((await statusOf(daemon, 'free')).rules, null);
  await daemon.killAndRestart();
  assert.equal(held(), 13);
  await succeed(daemon, 'POST', '/api/v1/vms/one-0/stop');
  assert.equal(held(), 12, 'a check of the network beside it changes nothing');
  assert.equal((await statusOf(daemon, 'one-0')).in_force, false);
  await setRules(daemon, 'one-0', { default: 'allow' });
  await succeed(daemon, 'POST', '/api/v1/vms/one-0/start');
  assert.equal(chains(), 3, 'rules that were changed while it was stopped');
  const told = await daemon.call('GET', '/api/v1/system/audit');
  assert.doesNotMatch(told.text, /egress/i, 'nothing differs');
  for (const name of [...names, 'of-plugin'])
    await succeed(daemon, 'DELETE', `/api/v1/vms/${name}`);
  assert.equal(chains() + held(), 0);
});

test('every wrong entry is named', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const create = (network: object) =>
    daemon.call('POST', '/api/v1/vms', { name: 'no', plugin: 'hello', config: { network } });
  const wrong = await create({
    egress: { allow: ['10.0.0.1/8', '*.example.org', '::1'], deny: ['*.example.org', 'a b'] },
  });
  assert.equal(wrong.status, 400);
  assert.deepEqual(Object.keys(wrong.body.details).sort(), [
    'config.network.egress.allow[0]',
    'config.network.egress.allow[1]',
    'config.network.egress.allow[2]',
    'config.network.egress.default',
    'config.network.egress.deny[1]',
  ]);
  for (const mode of ['vsock', 'dhcp']) {
    const answer = await create({ mode, egress: { default: 'deny' } });
    assert.equal(answer.status, 400, mode);
    assert.match(answer.text, /network\.egress/);
  }
});
