// e2e: the host before and after VMs of every kind is the same: links, rules, ports, processes, files.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { until, untilPasses } from '../helpers/until.ts';
import { type Daemon, signalVm, startDaemon } from './daemon.ts';

const MIB = 1024 ** 2;
const CHECK = 'integrity-program';

function linesOf(file: string, ...args: string[]): string[] {
  const text = execFileSync(file, args, { encoding: 'utf8' });
  return text.split('\n').filter((line) => line.trim() !== '');
}

function filesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/** Empty if the process has ended. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

/** Programs that know the daemon's home, but for itself and the check of its records that follows its start. */
function processesOf(daemon: Daemon): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== daemon.pid())
    .map(commandOf)
    .filter((command) => command.includes(daemon.home) && !command.includes(CHECK));
}

function hostOf(daemon: Daemon, tag: string) {
  return {
    links: linesOf('ip', '-o', 'link').map((line) => line.split(':')[1]?.trim()),
    rules: linesOf('nft', '-s', 'list', 'ruleset'),
    ports: linesOf('ss', '-Hltun').map((line) => line.trim().split(/\s+/).at(4)),
    processes: processesOf(daemon),
    runDirectories: daemon.runDirectories(),
    disks: filesIn(join(daemon.home, 'disks')),
    leases: filesIn(`/run/volant-dhcp-${tag}`),
    cgroups: ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].flatMap((mount) =>
      filesIn(join(mount, `volant-${tag}`)).filter((name) => name.startsWith('vm-')),
    ),
  };
}

async function serveImage(t: TestContext): Promise<string> {
  const image = Buffer.alloc(2 * MIB, 'image');
  const server = createServer((_, response) => response.end(image)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/data.img`;
}

test('VMs of every kind, starts that fail and a daemon that is killed leave nothing behind', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'dnsmasq')) return;
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_DHCP_SERVER: 'dnsmasq',
    VOLANT_MEDIA_HOSTS: '127.0.0.1',
  });
  const create = async (name: string, config: object) => {
    const answer = await daemon.call('POST', '/api/v1/vms', { name, plugin: 'hello', config });
    return answer.body.code ?? answer.status;
  };
  const destroy = async (...paths: string[]) => {
    for (const path of paths) {
      const answer = await daemon.call('DELETE', `/api/v1/${path}`);
      assert.equal(answer.status, 204, `${path}: ${answer.text}`);
    }
  };
  const source = await serveImage(t);
  // The network of all guests comes with the first one, and stays.
  await create('first', {});
  const [, tag = ''] = /^vt([0-9a-f]{4})-/.exec(daemon.taps()[0] ?? '') ?? [];
  await destroy('vms/first');
  const before = hostOf(daemon, tag);
  assert.ok(before.links.includes('vbr0'));

  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  const withDisk = (more: object) => ({
    manifest: { ...manifest, disks: [{ name: 'data', source, ...more }] },
  });
  const expose = (host_port: number, more = {}) => [{ port: 80, host_port, ...more }];
  assert.equal(await create('bridged', { ...withDisk({}), expose: expose(18401) }), 201);
  assert.equal(await create('asks', { network: { mode: 'dhcp' }, expose: expose(18402) }), 201);
  assert.equal(await create('quiet', { network: { mode: 'vsock' }, expose: expose(18403) }), 201);
  const udp = { protocol: 'udp' };
  assert.equal(
    await create('udp', { network: { mode: 'vsock' }, expose: expose(18404, udp) }),
    201,
  );
  assert.equal(
    await create('seeded', {
      cloud_init: { user_data: { inline: true, content: '#cloud-config' } },
    }),
    201,
  );
  assert.equal(await create('taken', { expose: expose(18401) }), 'PORT_TAKEN');
  const wrong = withDisk({ checksum: `sha256:${'0'.repeat(64)}` });
  assert.equal(await create('wrong-image', wrong), 'MEDIA_CHECKSUM_MISMATCH');
  const set = { name: 'set', replicas: 3, config: { plugin: 'hello', expose: expose(18410) } };
  assert.equal((await daemon.call('POST', '/api/v1/deployments?wait=running', set)).status, 201);
  const scaled = { replicas: 1, config: { ...set.config, expose: expose(18420) } };
  const patched = await daemon.call('PATCH', '/api/v1/deployments/set', scaled);
  assert.equal(patched.status, 200, patched.text);
  const during = hostOf(daemon, tag);
  for (const [what, had] of Object.entries(before)) {
    if (what === 'cgroups') continue;
    const has = during[what as keyof typeof during];
    assert.notDeepEqual(has, had, `${what} are not the same while there are VMs`);
  }

  await daemon.call('POST', '/api/v1/vms/udp/stop');
  await daemon.killAndRestart();
  signalVm(await daemon.getVm('quiet'), 'SIGKILL');
  await daemon.waitFor('quiet', 'crashed');
  await destroy('deployments/set');
  await destroy('vms/bridged', 'vms/asks', 'vms/quiet', 'vms/udp', 'vms/seeded');
  await until('the replicas are deleted', async () => {
    const { body } = await daemon.call('GET', '/api/v1/vms');
    return body.length === 0;
  });
  // The daemon was started anew a moment ago: it writes the rules of published ports at the end of its recovery.
  await untilPasses(() => assert.deepEqual(hostOf(daemon, tag), before));
});
