// e2e: volar run: programs of container images in real guests of their own: what they write, how they end, and that nothing is
// left of them, however they end.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { directoryWith, type Running, startVolar, volar } from '../cli/volar.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { writeLayout } from '../host/jobs/images/image-maker.ts';
import { type Json, modernClient } from '../http/mcp/mcp-clients.ts';
import { busyboxImage, loneProgramImage } from './container-image.ts';
import { type Daemon, signalVm, startDaemon } from './daemon.ts';

interface Place {
  readonly daemon: Daemon;
  readonly image: string;
  /** Runs volar to its end. */
  readonly type: (words: readonly string[], input?: string) => ReturnType<typeof volar>;
  readonly start: (...words: readonly string[]) => Running;
  readonly names: () => Promise<readonly string[]>;
}

/** An image whose entrypoint is busybox and whose command is uname; null if the host lacks what a guest needs. */
async function startPlace(t: TestContext): Promise<Place | null> {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'mke2fs', 'skopeo')) {
    return null;
  }
  const daemon = await startDaemon(t);
  const layout = join(daemon.home, 'images/box');
  const config = { Entrypoint: ['/bin/busybox'], Cmd: ['uname', '-s'] };
  writeLayout(layout, busyboxImage(config));
  const names = async () => {
    const { body } = await daemon.call('GET', '/api/v1/vms');
    return (body as readonly { name: string }[]).map(({ name }) => name);
  };
  return {
    daemon,
    image: `oci:${layout}`,
    type: (words, input) => volar(t, daemon.url, words, input),
    start: (...words) => startVolar(t, words, { VOLANT_API_BASE: daemon.url }),
    names,
  };
}

const SMALL = ['run', '-m', '160'];

async function until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  while (!(await holds())) {
    if (signal.aborted) throw new Error(otherwise);
    await pause(50);
  }
}

test('output, status, input, copies, and the settings of the image and of the command line', async (t) => {
  const place = await startPlace(t);
  if (place === null) return;
  const { image, type, names } = place;
  const plain = await type([...SMALL, image]);
  assert.deepEqual([plain.stdout, plain.status], ['Linux\n', 0], plain.stderr);

  const script = 'id -u; pwd; echo "$GREETING $HOME"; echo no >&2; exit 7';
  const given = ['-e', 'GREETING=given', '-w', '/etc', '-u', '0:0', '--entrypoint', 'sh'];
  const here = directoryWith(t, { file: 'of the file\n' });
  mkdirSync(join(here, 'tree/below'), { recursive: true });
  writeFileSync(join(here, 'tree/below/leaf'), 'of the tree\n', { mode: 0o754 });
  const volumes = ['-v', `${join(here, 'file')}:/data/new/name`, '-v', `${here}/tree:/srv/www`];
  const reads = 'cat; cat /data/new/name below/leaf; ls cgi-bin/id; ls -l below; kill -9 $$';
  const [kept, replaced, copied, missing] = await Promise.all([
    type([...SMALL, image, 'sh', '-c', script]),
    type([...SMALL, ...given, image, '--', '-c', script]),
    type([...SMALL, '-i', ...volumes, image, 'sh', '-c', reads], 'of the input\n'),
    type([...SMALL, '--entrypoint', 'no-such', image]),
  ]);
  assert.equal(kept.stdout, '1234\n/srv/www\nof-the-image /srv/data\n');
  assert.deepEqual([kept.stderr, kept.status], ['no\n', 7]);
  assert.equal(replaced.stdout, '0\n/etc\ngiven /root\n');
  assert.match(
    copied.stdout,
    /^of the input\nof the file\nof the tree\ncgi-bin\/id\n.*-rwxr-xr--/s,
    copied.stderr,
  );
  assert.equal(copied.status, 137);
  assert.equal(missing.status, 127, missing.stderr);
  assert.match(missing.stderr, /cannot execute no-such/);
  assert.deepEqual(await names(), []);
});

test('detached with a published port and a copy; a VM that is kept; one whose name is in use', async (t) => {
  const place = await startPlace(t);
  if (place === null) return;
  const { daemon, image, type, names } = place;
  const here = directoryWith(t, { 'page.txt': 'of the host' });
  const port = 26_000 + (process.pid % 500);
  const serve = ['httpd', '-f', '-p', '8000', '-h', '/srv/site'];
  const words = ['-d', '--name', 'web', '-p', `${port}:8000`, '-v', `${here}:/srv/site`];
  const [web, once, kept] = await Promise.all([
    type([...SMALL, ...words, image, ...serve]),
    type([...SMALL, '-d', image, 'sh', '-c', 'exit 9']),
    type([...SMALL, '--keep', '--name', 'box', image, 'true']),
  ]);
  assert.deepEqual([web.stdout, web.status], ['web\n', 0], web.stderr);
  const answer = async () => {
    const reply = await fetch(`http://127.0.0.1:${port}/page.txt`).catch(() => null);
    return reply?.ok === true && (await reply.text()) === 'of the host';
  };
  await until(answer, 'the published port does not answer');

  // A VM of the same name is another's, and stays.
  const taken = await type([...SMALL, '--name', 'web', image]);
  assert.equal(taken.status, 4);
  assert.ok((await names()).includes('web'));

  const name = once.stdout.trim();
  assert.match(name, /^run-[a-z0-9]{6}$/);
  assert.equal((await daemon.waitFor(name, 'stopped')).exit_code, 9);
  assert.deepEqual([kept.status, /VM box is kept/.test(kept.stderr)], [0, true]);
  const { workload } = await daemon.getVm('box');
  assert.deepEqual([workload?.state, workload?.check], ['none', 'none']);
  assert.match((await type(['vms', 'get', 'box'])).stdout, /^workload +no program of its own$/m);
  assert.equal((await type(['exec', 'box', '--', '/bin/busybox', 'true'])).status, 0);
});

test('an interrupt is for the program, a second one and other signals end the run; nothing is left', async (t) => {
  const place = await startPlace(t);
  if (place === null) return;
  const { daemon, image, start, names } = place;
  const begin = async (script: string) => {
    const running = start(
      ...SMALL,
      image,
      'sh',
      '-c',
      `${script}; echo begun; while :; do sleep 1; done`,
    );
    await running.printed(/begun/);
    return running;
  };
  const early = start(...SMALL, '--name', 'early', image);
  await until(async () => (await names()).includes('early'), 'no VM was made');
  // Its guest boots, so there is no program yet.
  early.kill('SIGINT');
  assert.equal((await early.ended).status, 130);
  assert.deepEqual(await names(), []);

  const endless = start(...SMALL, image, 'sh', '-c', 'while :; do echo begun; done');
  const [polite, stubborn, termed, hung] = await Promise.all([
    begin('trap "echo caught; exit 5" INT'),
    begin('trap "echo caught" INT'),
    begin(':'),
    begin(':'),
    endless.printed(/begun/),
  ]);
  // A reader that goes away, as head does.
  endless.closeOutput();
  polite.kill('SIGINT');
  stubborn.kill('SIGINT');
  await stubborn.printed(/caught/);
  stubborn.kill('SIGINT');
  termed.kill('SIGTERM');
  hung.kill('SIGHUP');
  const { stdout, status } = await polite.ended;
  assert.deepEqual([stdout, status], ['begun\ncaught\n', 5]);
  assert.equal((await stubborn.ended).status, 130);
  assert.equal((await termed.ended).status, 143);
  assert.equal((await hung.ended).status, 129);
  assert.equal((await endless.ended).status, 141);
  assert.deepEqual(await names(), []);
  assert.deepEqual(daemon.taps(), []);
});

test('a run with a deadline leaves nothing, though it was killed and the daemon was, too', async (t) => {
  const place = await startPlace(t);
  if (place === null) return;
  const { daemon, image, start, names } = place;
  const words = [...SMALL, '--name', 'short', '--deadline', '600s'];
  const run = start(...words, image, 'sh', '-c', 'echo begun; sleep 1000');
  await run.printed(/begun/);
  run.kill('SIGKILL');
  await run.ended;
  const { body } = await daemon.call('GET', '/api/v1/vms/short');
  assert.equal(Date.parse(body.deadline) - Date.parse(body.created_at), 600_000);
  const soon = await daemon.call('PUT', '/api/v1/vms/short/deadline', { seconds: 5 });
  assert.equal(soon.status, 200, soon.text);
  await daemon.killAndRestart();
  await until(async () => (await names()).length === 0, 'the VM is still there');
  assert.equal((await daemon.call('GET', '/api/v1/system/audit')).body.clean, true);
});

test('a daemon that is restarted, a VM that ends, an image that is not there, and one without a shell', async (t) => {
  const place = await startPlace(t);
  if (place === null) return;
  const { daemon, image, start, type, names } = place;
  const words = ['sh', '-c', 'echo begun; read x; echo "got $x"; exit 3'];
  const across = start(...SMALL, '-i', image, ...words);
  await across.printed(/begun/);
  await daemon.killAndRestart();
  across.write('more\n');
  const ended = await across.ended;
  assert.deepEqual([ended.stdout, ended.status], ['begun\ngot more\n', 3], ended.stderr);

  const lone = join(daemon.home, 'images/lone');
  writeLayout(lone, loneProgramImage());
  const alone = type([...SMALL, `oci:${lone}`, 'by', 'itself']);
  // Nothing is made of what is refused.
  const none = type([...SMALL, `oci:${daemon.home}/images/none`]);
  const large = type(['run', '-m', '1', image]);
  const crashing = start(...SMALL, '-i', '--name', 'crashing', image, ...words);
  await crashing.printed(/begun/);
  signalVm(await daemon.getVm('crashing'), 'SIGKILL');
  const crashed = await crashing.ended;
  assert.equal(crashed.status, 1);
  assert.match(crashed.stderr, /VM crashing has crashed while the program ran: .+/);
  const { stdout, status, stderr } = await alone;
  assert.deepEqual([stdout, status], ['by itself\n', 0], stderr);

  assert.equal((await none).status, 1);
  assert.match((await none).stderr, /image/);
  assert.match((await large).stderr, /memory_mb must be/);
  assert.deepEqual(await names(), []);
});

test('an agent runs a program of an image by one call; what still runs can be read, and is deleted by hand', async (t) => {
  const place = await startPlace(t);
  if (place === null) return;
  const { daemon, image, names } = place;
  const client = await modernClient(t, daemon);
  const call = async (tool: string, args: Record<string, unknown>): Promise<Json> => {
    const asked = { name: `volant.${tool}`, arguments: args };
    return (await client.callTool(asked, { timeout: 300_000 })).structuredContent;
  };
  const run = (args: Record<string, unknown>) =>
    call('images.run', { image, memory_mb: 160, ...args });
  const script = 'read line; echo "$line $GREETING"; exit 7';
  const [plain, given, long, missing] = await Promise.all([
    run({}),
    run({ args: ['sh', '-c', script], stdin: 'of the input\n', env: { GREETING: 'given' } }),
    run({ args: ['sh', '-c', 'echo begun; sleep 1000'], wait: 20_000, name: 'long' }),
    run({ entrypoint: ['no-such'], name: 'missing' }),
  ]);
  assert.deepEqual([plain.stdout, plain.exit_code, plain.vm_deleted], ['Linux\n', 0, true]);
  assert.deepEqual([given.stdout, given.exit_code], ['of the input given\n', 7]);
  assert.match(missing.error, /no-such/);
  assert.deepEqual([long.stdout, long.state, long.vm_deleted], ['begun\n', 'running', false]);
  assert.deepEqual(await names(), ['long']);
  await call('vms.exec.signal', { name: 'long', id: long.id, signal: 'SIGKILL' });
  const rest = { name: 'long', id: long.id, offset: long.stdout_next, wait: 30_000 };
  const nothing = { output: '', offset: 6, next: 6, end: true };
  assert.deepEqual(await call('vms.exec.output', rest), nothing);
  await call('vms.delete', { name: 'long' });
  assert.deepEqual(await names(), []);
});
