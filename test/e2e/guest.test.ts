// e2e: a real guest has what the API says, seen from inside.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, startDaemon } from './daemon.ts';
import { installProbe } from './probe-image.ts';

test('CPUs, memory, command line, MAC, address, host name and name servers are those of the API', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t, { VOLANT_DNS: '10.1.2.3,10.1.2.4' });
  await installProbe(daemon);
  const vm = await daemon.createVm('probe-1', {
    plugin: 'probe',
    cpu_cores: 2,
    memory_mb: 200,
    kernel_cmdline: 'my.option=7',
  });
  const ask = async (what: string) => (await askGuest(vm.ip_address, `/v1/cgi-bin/${what}`)).trim();
  assert.equal(await ask('hostname'), 'probe-1');
  assert.equal(await ask('processors'), '2');
  assert.equal(vm.cpu_cores, 2);
  const memoryMb = Number(await ask('memory'));
  assert.ok(memoryMb > 150 && memoryMb <= 200, `${memoryMb} MiB of ${vm.memory_mb}`);
  assert.equal(await ask('mac'), vm.mac_address);
  assert.equal(await ask('address'), `${vm.ip_address}/24`);
  assert.match(await ask('resolv'), /nameserver 10\.1\.2\.3\nnameserver 10\.1\.2\.4/);
  const cmdline = await ask('cmdline');
  assert.ok(cmdline.startsWith(`${vm.kernel_cmdline} volant.`), cmdline);
  assert.match(vm.kernel_cmdline, / my\.option=7$/);
  assert.equal(await ask('orphans'), '0', 'orphans are reaped');
});

test('the console is a socket, its log is kept, and the log stream has the workload’s lines', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const vm = await daemon.createVm('probe', { plugin: 'probe' });
  await askGuest(vm.ip_address, '/v1/cgi-bin/hostname');
  assert.ok(statSync(vm.serial_socket).isSocket());
  let seen = '';
  const console = connect(vm.serial_socket);
  t.after(() => console.destroy());
  console.on('data', (chunk) => {
    seen += chunk;
  });
  await new Promise((resolve) => console.once('connect', resolve));
  await askGuest(vm.ip_address, '/v1/cgi-bin/console');
  for (let tries = 0; tries < 200 && !seen.includes('to-the-console'); tries += 1) await pause(20);
  assert.match(seen, /to-the-console/);
  const log = readFileSync(join(daemon.home, 'run', String(vm.id), 'console.log'), 'utf8');
  assert.match(log, /workload-started[\s\S]*to-the-console/);
  const stream = await fetch(`http://${vm.ip_address}:8080/v1/logs/stream`);
  const reader = stream.body?.getReader();
  let lines = '';
  while (!lines.includes('workload-started')) {
    const chunk = await reader?.read();
    lines += Buffer.from(chunk?.value ?? []).toString();
  }
  await reader?.cancel();
  assert.match(lines, /data: \{"stream":"stdout","timestamp":"[^"]+","line":"workload-started"\}/);
});

test('a manifest that is too long for the command line arrives whole', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const words = Array.from({ length: 600 }, (_, index) => `${(index * 7919) % 10007}`).join(' ');
  await installProbe(daemon);
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/probe');
  manifest.workload.env = { WORDS: words, SPACED: '  kept as it is  ' };
  assert.equal((await daemon.call('POST', '/api/v1/plugins', manifest)).status, 201);
  const vm = await daemon.createVm('long', { plugin: 'probe' });
  const environment = await askGuest(vm.ip_address, '/v1/cgi-bin/environment');
  assert.ok(environment.includes(`WORDS=${words}\n`));
  assert.ok(environment.includes('SPACED=  kept as it is  \n'));
});

test('without a network card the guest runs and is stopped in good order', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  const vm = await daemon.createVm('quiet', {
    plugin: 'probe',
    config: { network: { mode: 'vsock' } },
  });
  assert.equal(vm.ip_address, '');
  assert.deepEqual(daemon.taps(), []);
  const stopped = await daemon.call('POST', '/api/v1/vms/quiet/stop');
  assert.equal(stopped.body.status, 'stopped');
  const log = readFileSync(join(daemon.home, 'run', String(vm.id), 'console.log'), 'utf8');
  assert.match(log, /volant-agent: powering off/);
});
