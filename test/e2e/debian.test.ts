// e2e: a real Debian, built from its packages: with its own init and cloud-init, and with our agent as process 1 on the
// same disk.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { IMAGES, requireCapability } from '../helpers/capabilities.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';

/** An emulated processor needs most of a minute for systemd and cloud-init. */
const BOOT_TIMEOUT_MS = 400_000;

/** What the guest says of itself: files below /srv, served by a unit that cloud-init makes. */
const USER_DATA = `#cloud-config
locale: false
ssh_genkeytypes: []
write_files:
  - path: /srv/written
    content: by cloud-init
  - path: /etc/systemd/system/served.service
    content: |
      [Service]
      ExecStart=/usr/bin/python3 -m http.server 8000 --bind 127.0.0.1 --directory /srv
      [Install]
      WantedBy=multi-user.target
runcmd:
  - echo once >>/srv/runs
  - ip -o -4 addr show >/srv/addresses
  - ip route >/srv/routes
  - hostname >/srv/hostname
  - cat /proc/1/comm >/srv/init
  - cp /var/lib/cloud/data/instance-id /srv
  - ln -s /run/cloud-init/result.json /srv
  - systemctl enable --now --no-block served.service
`;

async function startDebian(t: TestContext): Promise<Daemon> {
  const daemon = await startDaemon(t);
  const answer = await daemon.call('POST', '/api/v1/plugins', {
    schema_version: '1.0',
    name: 'debian',
    version: '12',
    runtime: 'debian',
    resources: { cpu_cores: 2, memory_mb: 512 },
    rootfs: { url: join(IMAGES, 'debian.img') },
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:8000',
      entrypoint: ['/usr/bin/python3', '-m', 'http.server', '8000', '--directory', '/etc'],
    },
  });
  assert.equal(answer.status, 201, answer.text);
  return daemon;
}

/** Asks a guest until it answers. */
async function eventually(address: string, path: string): Promise<string> {
  const deadline = Date.now() + BOOT_TIMEOUT_MS;
  for (;;) {
    try {
      return (await askGuest(address, path)).trim();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await pause(500);
    }
  }
}

test('Debian boots to its own init, and its cloud-init does what the seed says, once', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'debian', 'mtools')) return;
  const daemon = await startDebian(t);
  const vm = await daemon.createVm('deb', {
    plugin: 'debian',
    kernel_cmdline: 'init=/sbin/init',
    config: {
      cloud_init: { datasource: 'NoCloud', user_data: { inline: true, content: USER_DATA } },
    },
  });

  const seed = join(daemon.home, 'disks', String(vm.id), 'seed.img');
  const document = (name: string) =>
    execFileSync('mcopy', ['-n', '-i', seed, `::${name}`, '-'], { encoding: 'utf8' });
  assert.equal(document('user-data'), USER_DATA);
  assert.equal(document('meta-data'), `instance-id: volant-${vm.id}\nlocal-hostname: deb\n`);

  const say = (name: string) => eventually(vm.ip_address, `/v1/${name}`);
  assert.equal(await say('init'), 'systemd');
  assert.equal(await say('written'), 'by cloud-init');
  assert.equal(await say('hostname'), 'deb');
  assert.equal(await say('instance-id'), `volant-${vm.id}`);
  assert.match(await say('addresses'), new RegExp(`inet ${vm.ip_address}/24`));
  assert.match(await say('routes'), /default via 192\.168\.127\.1/);
  const { v1: result } = JSON.parse(await say('result.json'));
  assert.match(result.datasource, /DataSourceNoCloud.*\/dev\/vdb/);
  assert.deepEqual(result.errors, []);

  const stopped = await daemon.call('POST', '/api/v1/vms/deb/stop');
  assert.equal(stopped.body.status, 'stopped', stopped.text);
  const started = await daemon.call('POST', '/api/v1/vms/deb/start');
  assert.equal(started.status, 200, started.text);
  assert.equal(await say('runs'), 'once', 'the same instance: nothing is done a second time');
});

test('our agent is process 1 on the same disk, and runs a program of it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'debian')) return;
  const daemon = await startDebian(t);
  const vm = await daemon.createVm('agent', { plugin: 'debian' });
  assert.match(await eventually(vm.ip_address, '/v1/debian_version'), /^12\./);
});
