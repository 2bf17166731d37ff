// e2e: guests that use DHCP: with the daemon's own DHCP server, and with an existing one.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { until } from '../helpers/until.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';
import { installProbe, reaches } from './probe-image.ts';

const asking = (more: object = {}) => ({
  plugin: 'probe',
  config: { network: { mode: 'dhcp' }, ...more },
});

/** What the DHCP server of a daemon keeps while it runs. */
function serverDirectory(daemon: Daemon): string {
  const [tap = ''] = daemon.taps();
  return `/run/volant-dhcp-${tap.slice(2, 6)}`;
}

/** NaN while it is being started. */
function serverPid(directory: string): number {
  const file = join(directory, 'state/pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : Number.NaN;
}

const askAgent = async (daemon: Daemon, name: string, path: string): Promise<string> => {
  const answer = await daemon.call('GET', `/api/v1/vms/${name}/agent/v1/cgi-bin/${path}`);
  return answer.status === 200 ? answer.text.trim() : '';
};

test('a guest gets the address that the API says, and everything that an address is good for', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'dnsmasq')) return;
  const daemon = await startDaemon(t, { VOLANT_DHCP_SERVER: 'dnsmasq', VOLANT_DNS: '9.9.9.9' });
  await installProbe(daemon);
  const [one, two] = await Promise.all([
    daemon.createVm('one', asking({ expose: [{ port: 8080, host_port: 18280 }] })),
    daemon.createVm('two', asking()),
  ]);
  for (const vm of [one, two]) {
    assert.equal(await askGuest(vm.ip_address, '/v1/cgi-bin/address'), `${vm.ip_address}/24\n`);
  }
  assert.match(await askAgent(daemon, 'one', 'resolv'), /^nameserver 9\.9\.9\.9$/m);
  await reaches(() => askAgent(daemon, 'one', `ping?${two.ip_address}`));
  const response = await fetch('http://127.0.0.1:18280/v1/cgi-bin/hostname');
  assert.equal((await response.text()).trim(), 'one');
  assert.match(await askAgent(daemon, 'two', 'forge-address'), /100% packet loss/);

  const directory = serverDirectory(daemon);
  const pid = serverPid(directory);
  await daemon.killAndRestart();
  assert.equal(serverPid(directory), pid, 'guests can renew while no daemon runs');
  process.kill(pid, 'SIGKILL');
  await until('a server that died is started again', () => {
    const next = serverPid(directory);
    return next > 0 && next !== pid;
  });
  const three = await daemon.createVm('three', asking());
  assert.equal(await askGuest(three.ip_address, '/v1/cgi-bin/hostname'), 'three\n');

  for (const name of ['one', 'two', 'three']) await daemon.call('DELETE', `/api/v1/vms/${name}`);
  assert.equal(existsSync(directory), false, 'without guests there is no server');
});

test('the only address goes from one guest to the next', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'dnsmasq')) return;
  const daemon = await startDaemon(t, {
    VOLANT_DHCP_SERVER: 'dnsmasq',
    VOLANT_SUBNET: '192.168.127.0/30',
  });
  await installProbe(daemon);
  for (const name of ['first', 'second']) {
    const vm = await daemon.createVm(name, asking());
    assert.equal(vm.ip_address, '192.168.127.2');
    assert.equal(await askGuest(vm.ip_address, '/v1/cgi-bin/hostname'), `${name}\n`);
    // The server forgets even what the guest had no time to give back.
    await daemon.call('DELETE', `/api/v1/vms/${name}?force=true`);
  }
});

test('another’s DHCP server: the guest asks until it answers, and host ports need no address', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'dnsmasq')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const vm = await daemon.createVm('guest', asking({ expose: [{ port: 8000, host_port: 18290 }] }));
  assert.equal(vm.ip_address, '');
  // Nobody answers yet, and the guest continues without.
  await until('its workload runs', async () => {
    return (await askAgent(daemon, 'guest', 'hostname')) === 'guest';
  });
  assert.equal(await askAgent(daemon, 'guest', 'address'), '');
  await startServer(t, daemon, '192.168.127.77');
  await until('it has the address of the server', async () => {
    return (await askAgent(daemon, 'guest', 'address')) === '192.168.127.77/24';
  });
  assert.equal(await askGuest('192.168.127.77', '/v1/cgi-bin/hostname'), 'guest\n');
  const response = await fetch('http://127.0.0.1:18290/cgi-bin/hostname');
  assert.equal((await response.text()).trim(), 'guest');
  assert.match(await askAgent(daemon, 'guest', 'forge-mac'), /100% packet loss|^$/);
  assert.equal(existsSync(serverDirectory(daemon)), false, 'it has no server of its own');
});

/** A DHCP server that the daemon knows nothing of, with one address. */
async function startServer(t: TestContext, daemon: Daemon, address: string): Promise<void> {
  const leases = join(daemon.home, 'outside-leases');
  const server: ChildProcess = spawn(
    '/usr/sbin/dnsmasq',
    [
      ...['--keep-in-foreground', '--conf-file=/dev/null', '--port=0', '--bind-dynamic'],
      ...['--interface=vbr0', '--user=root', `--dhcp-leasefile=${leases}`, '--pid-file='],
      `--dhcp-range=${address},${address},255.255.255.0,1h`,
    ],
    { stdio: 'ignore' },
  );
  t.after(async () => {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  });
  await once(server, 'spawn');
}
