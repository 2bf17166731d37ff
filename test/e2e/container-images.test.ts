// e2e: VMs that run container images, from a registry with TLS and a password and from files: what the image says is what
// runs, what the manifest says counts before it, and many VMs of one image share one pull and one build.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { startRegistry } from '../helpers/registry.ts';
import { until } from '../helpers/until.ts';
import { writeLayout } from '../host/jobs/images/image-maker.ts';
import { busyboxImage } from './container-image.ts';
import { askGuest, type Daemon, startDaemon } from './daemon.ts';

const ask = async (daemon: Daemon, name: string, script: string) => {
  const { ip_address } = await daemon.getVm(name);
  return (await askGuest(ip_address, `/v1/cgi-bin/${script}`)).trim();
};

async function install(daemon: Daemon, manifest: object): Promise<void> {
  const answer = await daemon.call('POST', '/api/v1/plugins', manifest);
  assert.equal(answer.status, 201, answer.text);
}

test('a name is a complete manifest: the image of a registry runs, with all that it says', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'mke2fs')) return;
  if (!requireCapability(t, 'skopeo', 'docker-registry', 'openssl')) return;
  const registry = await startRegistry(t, { tls: true, auth: true });
  const daemon = await startDaemon(t, {
    VOLANT_MEDIA_HOSTS: registry.host,
    VOLANT_CA_FILE: registry.caFile,
    VOLANT_REGISTRY_AUTH_FILE: registry.authFile,
  });
  const layout = join(daemon.home, 'images/web');
  writeLayout(layout, { ...busyboxImage(), isIndex: true, others: ['linux/arm64/v8'] });
  registry.push(`oci:${layout}`, 'team/web:1');
  await install(daemon, { name: 'web', image: `${registry.host}/team/web:1` });
  await daemon.createVm('one', { plugin: 'web', memory_mb: 160 });
  assert.deepEqual((await ask(daemon, 'one', 'id')).split('\n'), [
    'uid=1234(web) gid=1235(web) groups=77(extra)',
    '/srv/www/cgi-bin',
    '/srv/data of-the-image /usr/bin:/bin',
    '/bin/busybox httpd -f -p 8000 -h /srv/www',
  ]);
  const root = await ask(daemon, 'one', 'root');
  assert.match(root, /^\/dev\/vda \/ ext4 rw/);
  assert.match(root, /\/gone: No such file/);
  assert.match(root, /\/run\/kept\n\/tmp\/kept|\/tmp\/kept\n\/run\/kept/);
  assert.match(root, /-rwsr-xr-x/);
  assert.equal(await ask(daemon, 'one', 'count?first'), '1');
  // What the manifest says counts first: arguments in place of the command, a user, a variable.
  await install(daemon, {
    name: 'other',
    image: `${registry.host}/team/web:1`,
    workload: {
      args: ['-f', '-p', '8001', '-h', '/srv/www'],
      base_url: 'http://127.0.0.1:8001',
      user: '4321',
      env: { GREETING: 'of-the-manifest' },
      stop_signal: 'SIGTERM',
    },
  });
  await registry.stop();
  await daemon.createVm('two', { plugin: 'other', memory_mb: 160 });
  const lines = (await ask(daemon, 'two', 'id')).split('\n');
  assert.match(lines[0] ?? '', /^uid=4321 gid=0/);
  assert.match(lines[2] ?? '', /^\/ of-the-manifest /);
  assert.match(lines[3] ?? '', /-p 8001/);
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/stop')).status, 200);
  assert.equal((await daemon.call('POST', '/api/v1/vms/one/start')).status, 200);
  assert.equal(await ask(daemon, 'one', 'count?second'), '2');
  assert.equal(readdirSync(join(daemon.home, 'cache/images')).length, 2, 'one disk and its record');
});

test('fifty VMs of one image: one pull, one build, one disk; pulls are listed, images shown and removed', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'mke2fs', 'skopeo', 'docker-registry')) return;
  const registry = await startRegistry(t);
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_MEDIA_HOSTS: registry.host,
    VOLANT_REGISTRY_INSECURE: registry.host,
  });
  const layout = join(daemon.home, 'images/web');
  writeLayout(layout, busyboxImage());
  registry.push(`oci:${layout}`, 'web:1');
  const name = `${registry.host}/web:1`;
  await install(daemon, { name: 'web', image: name, resources: { cpu_cores: 1, memory_mb: 128 } });
  const names = Array.from({ length: 50 }, (_, index) => `vm-${index}`);
  const answers = await Promise.all(
    names.map((vm) => daemon.call('POST', '/api/v1/vms', { name: vm, plugin: 'web' })),
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201], answers[0]?.text);
  const blobs = registry.requests.filter(
    (request) => request.includes('/blobs/sha256:') && request.startsWith('GET'),
  );
  assert.deepEqual(blobs.length, new Set(blobs).size, 'each blob was sent once');
  const volar = (...words: string[]) => runVolar(daemon, words);
  const [image, ...others] = (await daemon.call('GET', '/api/v1/images')).body.images;
  assert.deepEqual([image.names, image.in_use, others.length], [[name], true, 0]);
  assert.match((await volar('images', 'list')).printed, /web:1 +sha256:[0-9a-f]{12} .* yes/);
  assert.match(
    (await volar('images', 'show', name)).printed,
    /entrypoint +\/bin\/busybox httpd\n.*\n.*user +web|user +web/s,
  );
  const used = await volar('images', 'remove', name);
  assert.deepEqual([used.status, /VMs are made of/.test(used.said)], [4, true]);
  const again = await volar('images', 'pull', name);
  assert.equal(again.status, 0, again.said);
  assert.match(again.printed, new RegExp(image.digest));
  const imported = await volar('images', 'import', layout, '--format', 'layout');
  assert.match(imported.printed, /^oci:.* sha256:[0-9a-f]{64}$/m);
  assert.equal((await volar('images', 'remove', `oci:${layout}`)).status, 0);
  const missing = await volar('images', 'pull', `${registry.host}/nothing:1`);
  assert.match(missing.said, /no such image/);
  assert.equal((await volar('images', 'pull', 'No Name')).status, 1);
  assert.equal((await volar('images', 'show', 'nothing')).status, 3);
  const deleted = await Promise.all(names.map((vm) => daemon.call('DELETE', `/api/v1/vms/${vm}`)));
  assert.ok(deleted.every(({ status }) => status === 204));
  assert.equal((await volar('images', 'remove', name)).status, 0);
  assert.deepEqual((await daemon.call('GET', '/api/v1/images')).body, { images: [], pulls: [] });
});

test('an image that exposes nothing runs without base_url; a user that it does not have is reported', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'mke2fs', 'skopeo')) return;
  const daemon = await startDaemon(t);
  const layout = join(daemon.home, 'images/sleep');
  const config = {
    User: '',
    Entrypoint: null,
    Cmd: ['sleep', '1000'],
    ExposedPorts: {},
    WorkingDir: '',
  };
  writeLayout(layout, busyboxImage(config));
  await install(daemon, { name: 'sleep', image: `oci:${layout}` });
  const made = await daemon.call('POST', '/api/v1/vms?wait=ready&timeout=240000', {
    name: 'sleeper',
    plugin: 'sleep',
    memory_mb: 160,
  });
  assert.equal(made.status, 201, made.text);
  const running = () =>
    daemon.getVm('sleeper').then(({ workload }) => workload?.state === 'running');
  await until('sleep does not run', running);
  assert.equal((await daemon.getVm('sleeper')).workload?.check, 'none');
  // A user that the image does not have is told, not guessed.
  await install(daemon, {
    name: 'nobody',
    image: `oci:${layout}`,
    workload: { user: 'nobody-here' },
  });
  await daemon.createVm('lost', { plugin: 'nobody', memory_mb: 160 });
  const lastExit = async () => (await daemon.getVm('lost')).workload?.last_exit ?? '';
  await until('it has not ended', async () => (await lastExit()) !== '');
  assert.match(await lastExit(), /cannot become user nobody-here: there is no such user/);
});

async function runVolar(daemon: Daemon, words: readonly string[]) {
  const child = spawn(process.execPath, [join(PROJECT_ROOT, 'dist/cli/main.js'), ...words], {
    env: { ...process.env, VOLANT_API_BASE: daemon.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  let said = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const [status] = await once(child, 'close');
  return { status, printed, said };
}
