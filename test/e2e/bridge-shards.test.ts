// e2e: more guests than a Linux bridge has ports: they are on several bridges and form one network.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { installProbe, reaches } from './probe-image.ts';

const PORTS_OF_A_BRIDGE = 1023;
const LARGE = { VOLANT_SUBNET: '10.77.0.0/20', VOLANT_HOST_IP: '10.77.0.1' };
const OTHER_BRIDGE = '10.77.4.10';

interface Link {
  readonly ifname: string;
  readonly master?: string;
}

const links = (): readonly Link[] =>
  JSON.parse(execFileSync('ip', ['-json', 'link'], { encoding: 'utf8' }));

/** Two guests with a bridge for each, by their addresses. */
async function startTwo(t: TestContext, settings: Record<string, string>): Promise<Daemon> {
  const daemon = await startDaemon(t, { ...LARGE, ...settings });
  await installProbe(daemon);
  await daemon.createVm('near', { plugin: 'probe' });
  const network = { mode: 'bridged', ip_address: OTHER_BRIDGE };
  await daemon.createVm('far', { plugin: 'probe', config: { network } });
  const masters = links().flatMap(({ ifname, master }) =>
    ifname.startsWith('vt') ? [master] : [],
  );
  assert.equal(new Set(masters).size, 2, 'each on a bridge of its own');
  return daemon;
}

const ping = (from: string, to: string) => askGuest(from, `/v1/cgi-bin/ping?${to}`);

test('guests on different bridges reach each other, the host, and are reached', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startTwo(t, {});
  const near = (await daemon.getVm('near')).ip_address;
  await askGuest(near, '/v1/cgi-bin/hostname');
  await reaches(() => ping(OTHER_BRIDGE, near));
  await reaches(() => ping(near, OTHER_BRIDGE));
  await reaches(() => ping(OTHER_BRIDGE, '10.77.0.1'));
});

test('isolation holds across bridges', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startTwo(t, { VOLANT_GUEST_ISOLATION: 'on' });
  const near = (await daemon.getVm('near')).ip_address;
  assert.match(await ping(near, OTHER_BRIDGE), /100% packet loss/);
  assert.match(await ping(OTHER_BRIDGE, near), /100% packet loss/);
  await reaches(() => ping(OTHER_BRIDGE, '10.77.0.1'));
});

test('more guests than a bridge has ports run at once, and leave no link behind', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const before = links().map(({ ifname }) => ifname);
  await t.test('run', async (t) => {
    const daemon = await startDaemon(t, { ...LARGE, VOLANT_HYPERVISOR: 'simulator' });
    const names = Array.from({ length: PORTS_OF_A_BRIDGE + 27 }, (_, index) => `sim-${index}`);
    await Promise.all(names.map((name) => daemon.createVm(name)));
    const taps = links().filter(({ ifname }) => ifname.startsWith('vt'));
    assert.equal(taps.length, names.length);
    assert.equal(new Set(taps.map(({ master }) => master)).size, 2);
  });
  assert.deepEqual(
    links().map(({ ifname }) => ifname),
    before,
  );
});

test('bridges for guests whose address is assigned elsewhere go with the last of them', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await daemon.createVm('first');
  const before = links().map(({ ifname }) => ifname);
  const config = { network: { mode: 'dhcp' } };
  for (const name of ['one', 'two']) await daemon.createVm(name, { config });
  assert.equal(links().filter(({ ifname }) => /^vb\w+-/.test(ifname)).length, 1);
  await daemon.call('DELETE', '/api/v1/vms/one');
  await daemon.killAndRestart();
  assert.equal(links().filter(({ ifname }) => /^vb\w+-/.test(ifname)).length, 1);
  await daemon.call('DELETE', '/api/v1/vms/two');
  // The new daemon may be about to look which bridges there are.
  await untilPasses(() => {
    assert.deepEqual(
      links().map(({ ifname }) => ifname),
      before,
    );
  });
});
