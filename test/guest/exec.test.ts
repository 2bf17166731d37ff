// Programs that the daemon runs in a guest, as the agent serves them over its channel: started, read, typed to, ended. The
// agent is a program of the host here, with checks of memory.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { askAgent } from '../../src/engine/execs/exec-agent.ts';
import { ExecAttachment } from '../../src/engine/execs/exec-attachment.ts';
import type { AgentConnection } from '../../src/engine/ports/hypervisor-ports.ts';
import { createAgentConnection } from '../../src/hypervisor/agent-client.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { shareHostAgent, startHostAgent } from './programs.ts';
import { NO_LOG, soon } from './served-agent.ts';

let program = '';

shareHostAgent((path) => {
  program = path;
});

const nothing = (_: Buffer): void => undefined;

interface Described {
  readonly id: string;
  readonly argv: readonly string[];
  readonly pid: number;
  readonly over: boolean;
  readonly exit_code: number | null;
  readonly exit_signal: number | null;
  readonly timed_out: boolean;
  readonly stdin_open: boolean;
  readonly stdin_bytes: number;
  readonly stdout_start: number;
  readonly stdout_end: number;
  readonly stderr_end: number;
}

interface Followed {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly offsets: readonly number[];
  readonly exec: Described;
}

class Agent {
  readonly connection: AgentConnection;

  constructor(connection: AgentConnection) {
    this.connection = connection;
  }

  ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) {
    return askAgent(this.connection, {
      method,
      path: `/agent/exec${path}`,
      ...(body === undefined ? {} : { body }),
    });
  }

  async start(argv: readonly string[], more: object = {}): Promise<string> {
    const id = randomBytes(8).toString('hex');
    const { status, value } = await this.ask('POST', '', { id, argv, ...more });
    assert.equal(status, 201, JSON.stringify(value));
    return id;
  }

  async get(id: string): Promise<Described> {
    return (await this.ask('GET', `/${id}`)).value as Described;
  }

  /** The output until the end, and the session that gets it. */
  follow(
    id: string,
    { from = 0, until = 'end' as 'now' | 'end' | 'end-only', onOutput = nothing } = {},
  ) {
    const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const offsets: number[] = [];
    let taken = 0;
    let settle: (followed: Followed) => void;
    let fail: (error: Error) => void;
    const ended = new Promise<Followed>((resolve, reject) => {
      settle = resolve;
      fail = reject;
    });
    const stream = this.connection.openExec();
    const session = new ExecAttachment(
      stream,
      id,
      { stdout: from, stderr: 0, until },
      {
        onFrame: (frame) => {
          if (frame.type === 'taken') taken = frame.taken;
          else if (frame.type === 'end') {
            session.end();
            const [stdout, stderr] = [Buffer.concat(chunks.stdout), Buffer.concat(chunks.stderr)];
            settle({ stdout, stderr, offsets, exec: JSON.parse(frame.text) });
          } else {
            if (frame.type === 'stdout') offsets.push(frame.offset);
            chunks[frame.type].push(Buffer.from(frame.bytes));
            onOutput(frame.bytes);
          }
        },
        onLost: (_status, cause) => fail(cause),
      },
    );
    return { session, ended, taken: () => taken };
  }

  async run(argv: readonly string[], more: object = {}): Promise<Followed> {
    return this.follow(await this.start(argv, more)).ended;
  }
}

async function served(t: TestContext): Promise<Agent> {
  const { socketPath } = await startHostAgent(t, program);
  const connection = createAgentConnection(socketPath, NO_LOG);
  t.after(() => connection.close());
  await connection.ready(soon());
  return new Agent(connection);
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const signal = soon();
  while (!(await holds())) {
    if (signal.aborted) throw new Error('it never held');
    await pause(10);
  }
}

suite('a program', () => {
  test('returns its output, byte for byte, and how it has ended', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const { stdout, stderr, exec } = await agent.run(
      ['sh', '-c', 'printf "\\000\\377 %s %s" "$1" "$HOW"; echo no >&2; exit 7', 'sh', 'one two'],
      { env: { HOW: 'a=b c' } },
    );
    assert.deepEqual(stdout, Buffer.from('\x00\xff one two a=b c', 'latin1'));
    assert.equal(stderr.toString(), 'no\n');
    assert.deepEqual([exec.exit_code, exec.exit_signal, exec.over], [7, null, true]);
    const killed = await agent.run(['sh', '-c', 'kill -9 $$']);
    assert.deepEqual([killed.exec.exit_code, killed.exec.exit_signal], [null, 9]);
  });

  test('that cannot be executed is reported with the status of a shell', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const cases = [
      [['no-such-program'], {}, 127, /no-such-program: No such file/],
      [['/etc/passwd'], {}, 126, /Permission denied/],
      [['true'], { workdir: '/no/such' }, 125, /cannot enter \/no\/such/],
      [['true'], { user: 'nobody-of-here' }, 125, /no user nobody-of-here/],
    ] as const;
    for (const [argv, more, status, why] of cases) {
      const id = randomBytes(8).toString('hex');
      const answer = await agent.ask('POST', '', { id, argv, ...more });
      const { exit_code: code, error } = answer.value as { exit_code: number; error: string };
      assert.deepEqual([answer.status, code], [422, status]);
      assert.match(error, why);
      assert.equal((await agent.ask('GET', `/${id}`)).status, 404);
    }
  });

  test('runs as another user, by name and by number, with its groups and home', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const show = ['sh', '-c', 'id -u; id -g; echo $HOME $USER; pwd'];
    const daemon = await agent.run(show, { user: 'daemon', workdir: '/tmp' });
    assert.equal(daemon.stdout.toString(), '1\n1\n/usr/sbin daemon\n/tmp\n');
    const number = await agent.run(show, { user: '54321:54' });
    assert.equal(number.stdout.toString(), '54321\n54\n/ 54321\n/\n');
    assert.match((await agent.run(show)).stdout.toString(), /^0\n0\n\/root root\n\/\n$/);
  });

  test('takes input and its end, of more than a pipe holds', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const input = randomBytes(1024 * 1024);
    const id = await agent.start(['cat'], { stdin: true });
    const { session, ended } = agent.follow(id);
    session.input(input);
    session.closeInput();
    const { stdout, exec } = await ended;
    assert.ok(stdout.equals(input));
    assert.equal(exec.stdin_bytes, input.length);
    assert.equal((await agent.run(['cat'])).stdout.length, 0, 'without input it reads nothing');
  });

  test('that ends by its input does not end before it is said that this was taken', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const { session, ended, taken } = agent.follow(
      await agent.start(['sh', '-c', 'read line'], { stdin: true }),
    );
    session.input(Buffer.from('go\n'));
    await ended;
    assert.equal(taken(), 3);
  });

  test('that does not read its input holds the sender back, and reports what was taken', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const id = await agent.start(['sleep', '1000'], { stdin: true });
    const { session, taken } = agent.follow(id);
    for (let at = 0; at < 64; at += 1) {
      session.input(Buffer.alloc(4096));
      session.askTaken();
    }
    await until(() => taken() === 65_536);
    session.end();
    assert.equal((await agent.ask('DELETE', `/${id}`)).status, 204);
  });

  test('that writes without end waits for its reader, and without one keeps the newest', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const id = await agent.start(['sh', '-c', 'i=0; while :; do echo $((i += 1)); done'], {
      output_bytes_max: 8192,
    });
    await until(async () => (await agent.get(id)).stdout_start > 100_000);
    let text = '';
    const { session, ended } = agent.follow(id, {
      onOutput: (bytes) => {
        text += bytes.toString();
        if (text.length > 400_000) session.pause();
      },
    });
    ended.catch(() => undefined);
    await until(() => text.length > 400_000);
    // Held back: nothing moves while the reader does not read.
    let before = -1;
    await until(async () => {
      const now = (await agent.get(id)).stdout_end;
      await pause(100);
      const isSame = now === before;
      before = now;
      return isSame;
    });
    const lines = text.split('\n').slice(1, -1).map(Number);
    assert.ok(lines.every((number, at) => at === 0 || number === (lines[at - 1] ?? 0) + 1));
    session.end();
    await until(async () => (await agent.get(id)).stdout_end > before + 100_000);
    await agent.ask('POST', `/${id}/signal?number=9`);
    await until(async () => (await agent.get(id)).over);
    const { stdout_start: start, stdout_end: end } = await agent.get(id);
    assert.equal(end - start, 8192);
    const kept = await agent.follow(id, { until: 'now' }).ended;
    assert.deepEqual([kept.stdout.length, kept.offsets[0]], [8192, start]);
  });

  test('gets SIGTERM at its timeout, and SIGKILL when it ignores that', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const polite = await agent.run(['sleep', '1000'], { timeout_ms: 50 });
    assert.deepEqual([polite.exec.exit_signal, polite.exec.timed_out], [15, true]);
    const stubborn = await agent.run(
      ['sh', '-c', 'trap "" TERM; while :; do sleep 1000; done & wait; wait'],
      // The shell must have set its trap by then.
      { timeout_ms: 1_000, kill_after_ms: 50 },
    );
    assert.deepEqual([stubborn.exec.exit_signal, stubborn.exec.timed_out], [9, true]);
  });

  test('leaves nothing of its group behind, and what is in a session of its own stays', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const { stdout } = await agent.run([
      'sh',
      '-c',
      'sleep 1000 & echo $!; setsid sleep 1001 & sleep 0.2; echo $!',
    ]);
    const [ofGroup = 0, ofSession = 0] = stdout.toString().trim().split('\n').map(Number);
    await until(() => !isAlive(ofGroup));
    assert.ok(isAlive(ofSession));
    process.kill(ofSession, 'SIGKILL');
  });

  test('has a terminal of the size that was asked for, that can be changed', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const script = 'tty; stty size; trap "stty size; exit 3" WINCH; echo ready; read line; read x';
    const id = await agent.start(['sh', '-c', script], { tty: true, rows: 11, columns: 33 });
    let text = '';
    const { session, ended } = agent.follow(id, {
      onOutput: (bytes) => {
        text += bytes.toString();
      },
    });
    await until(() => text.includes('ready'));
    assert.match(text, /^\/dev\/pts\/\d+\r\n11 33\r\n/);
    session.resize(22, 44);
    session.input(Buffer.from('typed\r'));
    const { exec } = await ended;
    assert.match(text, /22 44/);
    assert.equal(exec.exit_code, 3);
  });

  test('reads the end of file on a terminal, and its interrupt key', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const ofFile = agent.follow(await agent.start(['cat'], { tty: true }));
    ofFile.session.closeInput();
    const { exec: end } = await ofFile.ended;
    assert.deepEqual([end.exit_code, end.exit_signal], [0, null], JSON.stringify(end));
    const byKey = agent.follow(await agent.start(['sleep', '1000'], { tty: true }));
    byKey.session.input(Buffer.from([3]));
    assert.equal((await byKey.ended).exec.exit_signal, 2);
  });

  test('keeps its terminal until it ends, also if no process has it open for a while', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const script = 'exec <&- >&- 2>&-; sleep 0.3; echo again > /dev/tty; sleep 0.1; exit 3';
    const { exec, stdout } = await agent.run(['sh', '-c', script], { tty: true });
    assert.deepEqual([exec.exit_code, exec.exit_signal], [3, null]);
    assert.equal(stdout.toString(), 'again\r\n');
  });

  test('can be read again from any offset, by several readers', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const id = await agent.start(['sh', '-c', 'seq 1 2000; sleep 0.2; seq 2001 4000']);
    const [whole, late] = await Promise.all([
      agent.follow(id).ended,
      agent.follow(id, { until: 'end-only' }).ended,
    ]);
    assert.ok(whole.stdout.equals(late.stdout));
    const rest = await agent.follow(id, { from: 5000 }).ended;
    assert.ok(rest.stdout.equals(whole.stdout.subarray(5000)));
    assert.equal((await agent.follow(id, { from: 1_000_000 }).ended).stdout.length, 0);
  });
});

suite('all programs of a guest', () => {
  test('are bounded: those that run, and those that have ended', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const running = await Promise.all(
      Array.from({ length: 4 }, () => agent.start(['sleep', '1000'])),
    );
    while (running.length < 32) running.push(await agent.start(['sleep', '1000']));
    const id = randomBytes(8).toString('hex');
    const refused = await agent.ask('POST', '', { id, argv: ['true'] });
    assert.equal(refused.status, 503);
    for (const one of running) await agent.ask('DELETE', `/${one}`);
    for (let round = 0; round < 100; round += 1) await agent.run(['true']);
    const { value } = await agent.ask('GET', '');
    assert.equal((value as readonly Described[]).length, 64);
  });

  test('are the same for a request that is sent twice', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const body = { id: 'twice', argv: ['sh', '-c', 'echo $$'] };
    const answers = await Promise.all([agent.ask('POST', '', body), agent.ask('POST', '', body)]);
    const pids = answers.map(({ value }) => (value as Described).pid);
    assert.equal(pids[0], pids[1]);
    assert.equal(((await agent.ask('GET', '')).value as unknown[]).length, 1);
  });

  test('cannot be reached but by the daemon', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { socketPath, port } = await startHostAgent(t, program);
    const connection = createAgentConnection(socketPath, NO_LOG);
    t.after(() => connection.close());
    await connection.ready(soon());
    const answer = await fetch(`http://127.0.0.1:${port}/agent/exec`);
    assert.equal(answer.status, 404);
    await answer.text();
  });

  test('refuse a request that is malformed, with what is wrong', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const agent = await served(t);
    const wrong = [{}, { id: 'A b' }, { id: 'a' }, { id: 'a', argv: [] }, { id: 'a', argv: [1] }];
    for (const body of [...wrong, { id: 'a', argv: ['true'], env: { A: 1 } }]) {
      assert.equal((await agent.ask('POST', '', body)).status, 400, JSON.stringify(body));
    }
    assert.equal((await agent.ask('GET', '/none')).status, 404);
    assert.equal((await agent.ask('POST', '/none/signal?number=9')).status, 404);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
