// cli: `volar run` before it asks a daemon: what an image and a command line become, where the words of the program begin, and
// what is refused.

import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { createProgram } from '../../src/cli/program.ts';
import { endOptionsAtImage } from '../../src/cli/program-words.ts';
import {
  execOf,
  isOfRun,
  parseVolume,
  type RunOrder,
  requireLasting,
  vmOfNone,
  vmOfProgram,
} from '../../src/cli/run/run-request.ts';
import type { Image } from '../../src/client/types.ts';
import { sendJson, startFakeDaemon, vmBody } from '../client/fake-daemon.ts';
import { volar } from './volar.ts';

const IMAGE: Image = {
  digest: `sha256:${'0'.repeat(64)}`,
  names: ['docker.io/library/app:1'],
  in_use: false,
  layers: 1,
  pulled_bytes: 1,
  unpacked_bytes: 1,
  disk_bytes: 1,
  created_at: '2026-01-01T00:00:00Z',
  entrypoint: ['/entry', 'point'],
  command: ['of', 'image'],
  env: { A: 'image', B: 'image' },
  user: 'web',
  workdir: '/srv',
  exposed_ports: [],
  volumes: [],
  labels: {},
  stop_signal: 'SIGTERM',
};

const orderOf = (more: Partial<RunOrder> = {}): RunOrder => ({
  name: 'box',
  image: 'app:1',
  words: [],
  config: {},
  volumes: [],
  ...more,
});

const argvOf = (more: Partial<RunOrder>, image: Partial<Image> = {}) =>
  execOf(orderOf(more), { ...IMAGE, ...image }).argv;

test('the program is that of the image, words replace its command, --entrypoint replaces both', () => {
  assert.deepEqual(argvOf({}), ['/entry', 'point', 'of', 'image']);
  assert.deepEqual(argvOf({ words: ['-x', ''] }), ['/entry', 'point', '-x', '']);
  assert.deepEqual(argvOf({ entrypoint: '/bin/sh' }), ['/bin/sh']);
  assert.deepEqual(argvOf({ entrypoint: '/bin/sh', words: ['-c', 'x'] }), ['/bin/sh', '-c', 'x']);
  assert.deepEqual(argvOf({ entrypoint: '', words: ['ls'] }), ['ls']);
  assert.deepEqual(argvOf({ words: ['ls'] }, { entrypoint: [] }), ['ls']);
  const nothing = { entrypoint: [], command: [] };
  assert.throws(() => argvOf({}, nothing), /app:1 names no program: write one after the image/);
  assert.throws(() => argvOf({ entrypoint: '' }), /names no program/);
});

test('variables, directory and user are those of the image unless others are given', () => {
  const { env, workdir, user, timeout_ms } = execOf(orderOf(), IMAGE);
  assert.deepEqual([env, workdir, user], [IMAGE.env, '/srv', 'web']);
  assert.equal(timeout_ms, undefined);
  const own = { env: { B: 'own', C: 'own' }, workdir: '/tmp', user: '1:2', timeoutMs: 5 };
  assert.deepEqual(execOf(orderOf(own), IMAGE), {
    argv: ['/entry', 'point', 'of', 'image'],
    env: { A: 'image', B: 'own', C: 'own' },
    workdir: '/tmp',
    user: '1:2',
    timeout_ms: 5,
  });
  const bare = { ...IMAGE, env: {}, user: '', workdir: '' };
  assert.deepEqual(execOf(orderOf(), bare), { argv: ['/entry', 'point', 'of', 'image'] });
});

test('the VM runs nothing of its own, or the program once, and has the mark of its run', () => {
  const config = { expose: [{ host_port: 8080, port: 80 }], metadata: { team: 'blue' } };
  const order = orderOf({ config, cpus: 2, memoryMb: 256, labels: { a: 'b' }, words: ['ls'] });
  const metadata = { team: 'blue', 'volar.run': 'mark' };
  const box = { name: 'box', image: 'app:1', labels: { a: 'b' } };
  assert.deepEqual(vmOfNone(order, 'mark'), {
    name: 'box',
    cpu_cores: 2,
    memory_mb: 256,
    config: {
      expose: config.expose,
      metadata,
      manifest: { ...box, workload: { type: 'none' } },
    },
  });
  const of = (more: Partial<RunOrder>) =>
    vmOfProgram(orderOf(more), 'x').config?.manifest?.workload;
  assert.deepEqual(of({}), { restart: 'never' });
  assert.deepEqual(of({ words: ['ls'] }), { restart: 'never', args: ['ls'] });
  assert.deepEqual(of({ words: ['-c'], entrypoint: 'sh' }), {
    restart: 'never',
    entrypoint: ['sh', '-c'],
  });
  assert.deepEqual(of({ env: { A: '1' }, user: 'u', workdir: '/w' }), {
    restart: 'never',
    env: { A: '1' },
    workdir: '/w',
    user: 'u',
  });
  assert.ok(isOfRun(metadata, 'mark'));
  assert.ok(!isOfRun({}, 'mark') && !isOfRun(undefined, 'mark'));
});

test('FILE:PATH: the path is absolute, FILE may have colons, and a mount is not promised', () => {
  const of = (text: string) => Object.values(parseVolume(text));
  assert.deepEqual(of('site:/srv/www'), ['site', '/srv/www', false]);
  assert.deepEqual(of('./a:/b:/c//d/'), ['./a:/b', '/c/d', true]);
  assert.deepEqual(of('/x:/'), ['/x', '/', true]);
  for (const bad of ['site', 'site:www', ':/srv', '']) {
    assert.throws(() => parseVolume(bad), /is not a copy: write FILE:PATH/, bad);
  }
  assert.throws(() => parseVolume('a:/b:ro'), /-v makes a copy, so there is no ":ro"/);
  assert.throws(() => parseVolume('a:/b/../c'), /segment ".."/);
  requireLasting([parseVolume('a:/srv/tmp'), parseVolume('a:/tmpfiles')]);
  for (const lost of ['a:/tmp', 'a:/run/x']) {
    assert.throws(() => requireLasting([parseVolume(lost)]), /the guest boots again/);
  }
});

test('options end at the image', () => {
  const program = createProgram(process, {});
  const of = (line: string) => endOptionsAtImage(program, line.split(' ')).join(' ');
  assert.equal(of('run alpine ls --json -e'), 'run alpine -- ls --json -e');
  assert.equal(of('run alpine -- ls'), 'run alpine -- ls');
  assert.equal(of('run alpine -- -- ls'), 'run alpine -- -- ls');
  assert.equal(of('run alpine'), 'run alpine --');
  assert.equal(of('run -it --rm alpine sh'), 'run -it --rm alpine -- sh');
  assert.equal(
    of('run -e A=1 -vf:/p --name x --cpus=2 --keep alpine -x'),
    'run -e A=1 -vf:/p --name x --cpus=2 --keep alpine -- -x',
  );
  assert.equal(of('run -ite A=1 alpine -x'), 'run -ite A=1 alpine -- -x');
  assert.equal(of('--api x --json run alpine -x'), '--api x --json run alpine -- -x');
  assert.equal(of('run --api x alpine -x'), 'run --api x alpine -- -x');
  for (const line of [
    'run --help',
    'run',
    'exec vm -- run -x',
    'vms get run',
    '__complete run a',
  ]) {
    assert.equal(of(line), line);
  }
});

test('what is wrong on the command line is told before anything is asked', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 500, {}));
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['run'], /missing required argument 'image'/],
    [['run', '-d', '-it', 'a'], /cannot be used with option/],
    [['run', '--rm', '--keep', 'a'], /cannot be used with option/],
    [['run', '-v', '/no/such:/x', 'a'], /\/no\/such does not exist/],
    [['run', '-p', '80', 'a'], /is not a pair of ports/],
    [['run', '-e', 'A', 'a'], /not of the form name=value/],
    [['run', '--egress-allow', '1.1.1.1', 'a'], /need --egress-default/],
    [['run', '-d', '-v', '/etc/hosts:/tmp/x', 'a'], /nothing can be copied below \/tmp/],
    [['vms', 'create', 'x', '--image', 'a', '--plugin', 'b'], /cannot be used with option/],
    [['vms', 'create', 'x', '--plugin', 'b', '--', 'ls'], /need --image/],
    [['deployments', 'create', 'x', '--entrypoint', 'b', '--plugin', 'p'], /needs --image/],
  ];
  for (const [words, message] of cases) {
    const { status, stderr } = await volar(t, daemon.url, words);
    assert.equal(status, 2, words.join(' '));
    assert.match(stderr, message);
  }
  assert.deepEqual(daemon.seen, []);
});

test('vms create and deployments create take an image in the place of a plugin', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => sendJson(response, 200, vmBody('web')));
  const sentBy = async (...words: string[]) => {
    const { status, stderr } = await volar(t, daemon.url, words.toSpliced(3, 0, '--dry-run'));
    assert.equal(status, 0, stderr);
    return JSON.parse(daemon.seen.at(-1)?.body ?? '');
  };
  const image = ['--image', 'nginx:1.27'];
  assert.deepEqual(await sentBy('vms', 'create', 'web', ...image), {
    name: 'web',
    config: { manifest: { name: 'web', image: 'nginx:1.27' } },
  });
  const more = ['--env', 'A=1', '--disk', 'data=/d', '--label', 'a=b', '--', '-x', '--json'];
  assert.deepEqual(await sentBy('vms', 'create', 'web', ...image, ...more), {
    name: 'web',
    config: {
      manifest: {
        name: 'web',
        image: 'nginx:1.27',
        workload: { args: ['-x', '--json'], env: { A: '1' } },
        disks: [{ name: 'data', source: '/d' }],
        labels: { a: 'b' },
      },
    },
  });
  const words = ['--replicas', '2', '--entrypoint', 'sh', 'c'];
  assert.deepEqual(await sentBy('deployments', 'create', 'web', ...image, ...words), {
    name: 'web',
    replicas: 2,
    config: {
      manifest: { name: 'web', image: 'nginx:1.27', workload: { entrypoint: ['sh', 'c'] } },
    },
  });
});

test('a key that may not pull leaves that to the VM, and a VM that another has made stays', async (t) => {
  const refused = (response: ServerResponse, status: number, code: string) =>
    sendJson(response, status, { error: code, code });
  const daemon = await startFakeDaemon(t, ({ method, path }, response) => {
    if (path.startsWith('/api/v1/images')) {
      return method === 'GET'
        ? refused(response, 404, 'IMAGE_NOT_FOUND')
        : refused(response, 403, 'SCOPE_FORBIDDEN');
    }
    if (method === 'POST') return refused(response, 409, 'VM_NAME_TAKEN');
    sendJson(response, 200, { id: 1, version: 1, config: { metadata: { 'volar.run': 'other' } } });
  });
  const { status, stderr } = await volar(t, daemon.url, ['run', '--name', 'box', 'app', 'ls']);
  assert.equal(status, 4);
  assert.match(stderr, /VM_NAME_TAKEN/);
  assert.deepEqual(
    daemon.calls().map((call) => call.replace(/\?.*/, '')),
    [
      'GET /api/v1/images/app',
      'POST /api/v1/images',
      'POST /api/v1/vms',
      'GET /api/v1/vms/box/config',
    ],
  );
});
