// e2e: programs that are run in real guests: over the API, by WebSocket, and with volar.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { createClient, type VolantClient } from '../../src/client/client.ts';
import { ApiError } from '../../src/client/errors.ts';
import type { Exec } from '../../src/schema/exec.ts';
import { startVolar, volar } from '../cli/volar.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, signalVm, startDaemon } from './daemon.ts';

const VM = 'guest';

interface Started {
  readonly daemon: Daemon;
  readonly client: VolantClient;
}

/** null if the host lacks what a guest needs. The first exec waits for the guest. */
async function startGuest(t: TestContext, more: object = {}): Promise<Started | null> {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return null;
  const daemon = await startDaemon(t);
  await daemon.createVm(VM, { memory_mb: 96, ...more });
  const client = createClient({ baseUrl: daemon.url, WebSocket });
  return { daemon, client };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  while (!(await holds())) {
    if (signal.aborted) throw new Error('it never held');
    await pause(20);
  }
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError) return error.code;
    throw error;
  }
  return 'none';
};

test('argv and shell, output byte for byte, statuses, signals, limits and errors', async (t) => {
  const started = await startGuest(t);
  if (started === null) return;
  const { client } = started;
  const run = (request: Parameters<typeof client.execs.run>[1]) => client.execs.run(VM, request);

  const argv = await run({
    argv: ['sh', '-c', 'echo "$1"; echo $A >&2; exit 3', 'x', 'a  b'],
    env: { A: 'é' },
  });
  assert.deepEqual([argv.stdout, argv.stderr, argv.exit_code], ['a  b\n', 'é\n', 3]);
  assert.deepEqual([argv.state, argv.vm, argv.signal], ['exited', VM, null]);
  const shell = await run({ command: 'cd /etc && pwd; kill -KILL $$', workdir: '/tmp' });
  assert.deepEqual([shell.stdout, shell.signal, shell.exit_code], ['/etc\n', 'SIGKILL', null]);
  const input = await run({ argv: ['cat'], stdin: 'in: é' });
  assert.equal(input.stdout, 'in: é');
  const user = await run({ command: 'id -u; id -g', user: '1234:99' });
  assert.equal(user.stdout, '1234\n99\n');

  const bytes = randomBytes(300_000);
  const copied = await client.execs.run(
    VM,
    { argv: ['cat'], stdin_base64: bytes.toString('base64'), output_limit_bytes: 400_000 },
    { encoding: 'base64' },
  );
  assert.ok(Buffer.from(copied.stdout, 'base64').equals(bytes));

  const endless = await run({ argv: ['yes'], timeout_ms: 5_000, output_limit_bytes: 8192 });
  assert.deepEqual([endless.timed_out, endless.signal, endless.truncated], [true, 'SIGTERM', true]);
  assert.equal(endless.stdout.length, 8192);
  assert.match(endless.stdout, /^(y\n|\ny)/);
  assert.equal(endless.stdout_bytes - endless.stdout_kept_from, 8192);
  const stubborn = await run({
    command: 'trap "" TERM; while :; do sleep 1; done',
    timeout_ms: 5_000,
    kill_after_ms: 200,
  });
  assert.deepEqual([stubborn.timed_out, stubborn.signal], [true, 'SIGKILL']);

  const refused = await client.execs.create(VM, { argv: ['no-such'] }).catch((error) => error);
  assert.deepEqual([refused.status, refused.code], [400, 'EXEC_NOT_STARTED']);
  assert.equal(refused.details.exit_code, '127');
  assert.equal(await codeOf(run({})), 'BODY_INVALID');
  assert.equal(await codeOf(run({ argv: ['a'], command: 'b' })), 'BODY_INVALID');
  assert.equal(await codeOf(run({ argv: ['a'], env: { 'A=B': 'x' } })), 'BODY_INVALID');
  assert.equal(await codeOf(client.execs.get(VM, 'none')), 'EXEC_NOT_FOUND');
  assert.equal(await codeOf(client.execs.get('no-vm', 'none')), 'VM_NOT_FOUND');
  const late = client.execs.run(VM, { argv: ['sleep', '100'] }, { waitTimeoutMs: 100 });
  const error: ApiError = await late.then(
    () => assert.fail(),
    (thrown) => thrown,
  );
  assert.equal(error.code, 'WAIT_TIMEOUT');
  const id = error.details['exec'] ?? '';
  assert.equal((await client.execs.get(VM, id)).state, 'running');
  await client.execs.signal(VM, id, 'INT');
  await until(async () => (await client.execs.get(VM, id)).signal === 'SIGINT');
  assert.equal(await codeOf(client.execs.signal(VM, id, 'INT')), 'EXEC_ENDED');
  assert.equal(await codeOf(client.execs.signal(VM, id, 'NONE')), 'BODY_INVALID');
  const listed = await client.execs.list(VM);
  assert.ok(listed.some((exec) => exec.id === id));
  await client.execs.delete(VM, id);
  assert.equal(await codeOf(client.execs.get(VM, id)), 'EXEC_NOT_FOUND');
});

test('a thousand short programs, one after the other and many at once', async (t) => {
  const started = await startGuest(t, { memory_mb: 128 });
  if (started === null) return;
  const { client } = started;
  let next = 0;
  const worker = async () => {
    while (next < 1000) {
      const number = next++;
      const { stdout, exit_code: code } = await client.execs.run(VM, {
        argv: ['/bin/sh', '-c', `echo ${number}; exit ${number % 7}`],
      });
      assert.deepEqual([stdout, code], [`${number}\n`, number % 7]);
    }
  };
  const beginMs = performance.now();
  await Promise.all(Array.from({ length: 4 }, worker));
  t.diagnostic(`1000 execs in ${Math.round(performance.now() - beginMs)} ms`);
  assert.ok((await client.execs.list(VM)).length <= 64);
});

test('output from any offset, again after the daemon was killed, and input in between', async (t) => {
  const started = await startGuest(t, { config: { network: { mode: 'vsock' } } });
  if (started === null) return;
  const { client, daemon } = started;
  const { id } = await client.execs.create(VM, {
    command: 'echo first; read line; echo "got $line"; read line; echo "and $line"',
    stdin_open: true,
  });
  const first = await client.execs.output(VM, id, { waitMs: 20_000 });
  assert.equal(Buffer.from(first.bytes).toString(), 'first\n');
  assert.deepEqual(await client.execs.input(VM, id, 'one\n'), { stdin_open: true, stdin_bytes: 4 });
  const output: string[] = [];
  const socket = await client.sockets.exec(VM, id, {
    stdout: first.next,
    onOutput: (_, bytes, offset) => void output.push(`${offset} ${Buffer.from(bytes)}`),
  });
  await until(() => output.length > 0);
  assert.deepEqual(output, ['6 got one\n']);
  await daemon.killAndRestart();
  await assert.rejects(socket.ended);
  await until(async () => (await codeOf(client.execs.get(VM, id))) === 'none');
  assert.equal((await client.execs.get(VM, id)).state, 'running');
  const events: string[] = [];
  const following = (async () => {
    for await (const event of client.execs.follow(VM, id, { stdout: 2 })) {
      events.push(event.type === 'end' ? `${event.exec.exit_code}` : `${Buffer.from(event.bytes)}`);
    }
  })();
  await until(() => events.length > 0);
  await client.execs.input(VM, id, Buffer.from('two\n'), { close: true });
  await following;
  assert.equal(events.join(''), 'rst\ngot one\nand two\n0');
  const rest = await client.execs.output(VM, id, { offset: first.next });
  assert.equal(Buffer.from(rest.bytes).toString(), 'got one\nand two\n');
  assert.deepEqual([rest.isEnd, rest.next], [true, 22]);
  assert.equal(await codeOf(client.execs.input(VM, id, 'x')), 'EXEC_ENDED');
});

test('input of a mebibyte and back by WebSocket, and a terminal with a size', async (t) => {
  const started = await startGuest(t);
  if (started === null) return;
  const { client } = started;
  const bytes = randomBytes(1024 * 1024);
  const { id } = await client.execs.create(VM, { argv: ['cat'], stdin_open: true });
  const received: Buffer[] = [];
  let taken = 0;
  const socket = await client.sockets.exec(VM, id, {
    onOutput: (_, part) => void received.push(Buffer.from(part)),
    onTaken: (count) => {
      taken = count;
    },
  });
  for (let at = 0; at < bytes.length; at += 65_536) {
    await until(() => at - taken < 262_144);
    socket.write(bytes.subarray(at, at + 65_536));
  }
  socket.closeInput();
  assert.equal((await socket.ended).exit_code, 0);
  assert.ok(Buffer.concat(received).equals(bytes));

  const terminal = await client.execs.create(VM, {
    command: 'tty; stty size; read x; stty size; cat',
    tty: true,
    rows: 10,
    columns: 20,
  });
  let text = '';
  const typed = await client.sockets.exec(VM, terminal.id, {
    onOutput: (_, part) => {
      text += Buffer.from(part);
    },
  });
  await until(() => text.includes('10 20'));
  assert.match(text, /^\/dev\/pts\/\d+\r\n/);
  typed.resize(30, 40);
  typed.write(Buffer.from('\r'));
  await until(() => text.includes('30 40'));
  typed.write(Buffer.from([3]));
  assert.equal((await typed.ended).signal, 'SIGINT');
});

test('the end of a VM ends its programs, for those who wait and for those who ask later', async (t) => {
  const started = await startGuest(t);
  if (started === null) return;
  const { client, daemon } = started;
  const { id } = await client.execs.create(VM, { argv: ['sleep', '1000'] });
  const waiting = client.execs.run(VM, { argv: ['sleep', '1000'] });
  const socket = await client.sockets.exec(VM, id, { onOutput: () => undefined });
  await until(async () => (await client.execs.list(VM)).length === 2);
  const vm = await daemon.getVm(VM);
  signalVm(vm, 'SIGKILL');
  assert.equal((await socket.ended).state, 'lost');
  assert.equal((await waiting).state, 'lost');
  const lost: Exec = await client.execs.get(VM, id);
  assert.deepEqual([lost.state, lost.exit_code, lost.signal], ['lost', null, null]);
  assert.equal(
    (await client.execs.list(VM)).every(({ state }) => state === 'lost'),
    true,
  );
  assert.equal(await codeOf(client.execs.signal(VM, id, 'TERM')), 'EXEC_ENDED');
  assert.equal(await codeOf(client.execs.output(VM, id)), 'EXEC_ENDED');
  await daemon.call('POST', `/api/v1/vms/${VM}/stop`);
  assert.equal(await codeOf(client.execs.create(VM, { argv: ['true'] })), 'VM_STATE_CONFLICT');
  await daemon.call('POST', `/api/v1/vms/${VM}/start`);
  assert.equal((await client.execs.run(VM, { argv: ['true'] })).exit_code, 0);
  assert.equal((await client.execs.get(VM, id)).state, 'lost');
});

test('volar: pipes, statuses, interrupts, a terminal, a shell, and a daemon that is restarted', async (t) => {
  const started = await startGuest(t);
  if (started === null) return;
  const { daemon } = started;
  const type = (words: readonly string[], input = '') => volar(t, daemon.url, words, input);
  const echo = await type([
    'exec',
    VM,
    '-e',
    'A=b c',
    '--',
    'sh',
    '-c',
    'echo "$A"; echo no >&2; exit 9',
  ]);
  assert.deepEqual([echo.stdout, echo.stderr, echo.status], ['b c\n', 'no\n', 9]);
  assert.equal((await type(['exec', VM, '--', 'sh', '-c', 'kill -TERM $$'])).status, 143);
  const missing = await type(['exec', VM, '--', 'no-such']);
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /cannot execute no-such/);

  const bytes = randomBytes(1024 * 1024);
  const main = join(PROJECT_ROOT, '.build/src/cli/main.js');
  const words = [main, 'exec', '-i', VM, '--', 'cat'];
  const env = { ...process.env, VOLANT_API_BASE: daemon.url };
  const cat = spawn(process.execPath, words, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const copied: Buffer[] = [];
  cat.stdout.on('data', (chunk) => copied.push(chunk));
  cat.stdin.end(bytes);
  const [status] = await once(cat, 'close');
  assert.equal(status, 0);
  assert.ok(Buffer.concat(copied).equals(bytes));

  const settings = { VOLANT_API_BASE: daemon.url };
  const slow = startVolar(
    t,
    ['exec', VM, '--', 'sh', '-c', 'echo begun; exec sleep 1000'],
    settings,
  );
  await slow.printed(/begun/);
  slow.kill('SIGINT');
  assert.equal((await slow.ended).status, 130);

  const across = startVolar(
    t,
    ['exec', '-i', VM, '--', 'sh', '-c', 'echo begun; read x; echo "got $x"'],
    settings,
  );
  await across.printed(/begun/);
  await daemon.killAndRestart();
  across.write('more\n');
  const { stdout, status: end } = await across.ended;
  assert.deepEqual([stdout, end], ['begun\ngot more\n', 0]);

  const detached = (await type(['exec', '-d', VM, '--', 'sleep', '1000'])).stdout.trim();
  assert.match(
    (await type(['execs', 'list', VM])).stdout,
    new RegExp(`^${detached} +running `, 'm'),
  );
  assert.equal((await type(['execs', 'signal', VM, detached, 'KILL'])).status, 0);
  await until(async () => /exited +SIGKILL/.test((await type(['execs', 'list', VM])).stdout));
  assert.equal((await type(['execs', 'delete', VM, detached])).status, 0);

  // script(1) gives volar a terminal.
  const shell = spawn(
    'script',
    ['-qec', `stty rows 15 cols 70; ${process.execPath} ${main} shell ${VM}`, '/dev/null'],
    { env, stdio: ['pipe', 'pipe', 'inherit'] },
  );
  let screen = '';
  shell.stdout.on('data', (chunk) => {
    screen += chunk;
  });
  await until(() => /[#$] /.test(screen));
  shell.stdin.write('stty size; echo on-$(tty); exit 5\r');
  const [shellStatus] = await once(shell, 'close');
  assert.match(screen, /15 70/);
  assert.match(screen, /on-\/dev\/pts\//);
  assert.equal(shellStatus, 5);
});
