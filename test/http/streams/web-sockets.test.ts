// http, streams: consoles and logs: all viewers see the same, including earlier output; refused viewers get the reason; and
// both ends close together.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import WebSocket from 'ws';
import { LIMITS } from '../../../src/config/limits.ts';
import { type Served, type ServeOptions, serve, until } from '../served.ts';

interface Viewer {
  readonly socket: WebSocket;
  /** What it was sent, binary frames as text. */
  text(): string;
  readonly frames: string[];
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
}

/** Resolves when it is open. */
async function view(t: TestContext, { port }: Served, path: string): Promise<Viewer> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  t.after(() => socket.terminate());
  const frames: string[] = [];
  socket.on('message', (data) => frames.push(String(data)));
  const closed = once(socket, 'close').then(([code]) => Number(code));
  await once(socket, 'open');
  return { socket, frames, text: () => frames.join(''), closed };
}

/** The answer instead of an upgrade: status and code. */
function refusal(port: number, path: string, headers: Record<string, string> = {}) {
  return new Promise<string>((resolve, reject) => {
    const outgoing = request({
      port,
      path,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
      agent: false,
    });
    outgoing.on('response', async (answer) => {
      let text = '';
      for await (const chunk of answer) text += chunk;
      resolve(`${answer.statusCode} ${JSON.parse(text).code}`);
    });
    outgoing.on('upgrade', (_, socket) => {
      socket.destroy();
      resolve('101');
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

interface Port {
  /** The guest's side. */
  readonly guest: Duplex;
  readonly ours: Duplex;
}

/** Serves a VM whose serial ports are in this process. */
async function serveConsole(t: TestContext, options: ServeOptions = {}) {
  const served = await serve(t, options);
  const ports: Port[] = [];
  served.world.hypervisor.openConsole = async () => {
    const [ours, guest] = duplexPair();
    guest.setEncoding('utf8');
    ours.once('close', () => guest.destroy());
    ports.push({ ours, guest });
    return ours;
  };
  return { served, ports };
}

const CONSOLE = '/ws/v1/vms/one/console';
const LOGS = '/ws/v1/vms/one/logs';

test('viewers of a console share one port, see what was printed before, and type into the guest', async (t) => {
  const { served, ports } = await serveConsole(t);
  served.world.host.consoleLog = 'printed before\n';
  const first = await view(t, served, CONSOLE);
  await until(() => first.text() === 'printed before\n');
  const [port] = ports;
  assert.ok(port);
  port.guest.write('printed now\n');
  await until(() => first.text() === 'printed before\nprinted now\n');
  const second = await view(t, served, CONSOLE);
  await until(() => second.text() === 'printed before\nprinted now\n');
  let typed = '';
  port.guest.on('data', (text) => {
    typed += text;
  });
  first.socket.send('from the first\n');
  await until(() => typed.endsWith('first\n'));
  second.socket.send(Buffer.from('from the second\n'));
  await until(() => typed.endsWith('second\n'));
  assert.equal(typed, 'from the first\nfrom the second\n');
  port.guest.write('for both\n');
  for (const viewer of [first, second]) {
    await until(() => viewer.text().endsWith('now\nfor both\n'));
  }
  assert.equal(ports.length, 1);
});

test('what is in the log and comes by the port too is shown once', async (t) => {
  const { served } = await serveConsole(t);
  let told: (text: string) => void = () => undefined;
  served.world.host.readConsole = () =>
    new Promise((resolve) => {
      told = (text) => resolve(Buffer.from(text));
    });
  const [ours, guest] = duplexPair();
  served.world.hypervisor.openConsole = async () => ours;
  const viewer = await view(t, served, CONSOLE);
  guest.write('abc');
  await until(() => ours.readableFlowing === true && ours.readableLength === 0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  // Of "abc" the log has only the beginning yet.
  told('earlier ab');
  await until(() => viewer.text() === 'earlier abc');
});

test('the port is given back when the last viewer leaves, and taken again by the next', async (t) => {
  const { served, ports } = await serveConsole(t);
  const [first, second] = [await view(t, served, CONSOLE), await view(t, served, CONSOLE)];
  await until(() => ports.length === 1);
  first.socket.close();
  await first.closed;
  assert.equal(ports[0]?.ours.destroyed, false);
  second.socket.close();
  await until(() => ports[0]?.ours.destroyed === true);
  const third = await view(t, served, CONSOLE);
  await until(() => ports.length === 2);
  ports[1]?.guest.write('again');
  await until(() => third.text().endsWith('again'));
});

test('the end of the guest is a normal end of its console', async (t) => {
  const { served, ports } = await serveConsole(t);
  const viewer = await view(t, served, CONSOLE);
  await until(() => ports.length === 1);
  ports[0]?.guest.write('last words');
  await until(() => viewer.text() === 'last words');
  ports[0]?.ours.destroy();
  assert.equal(await viewer.closed, 1000);
});

test('a console that cannot be reached is said by the close code', async (t) => {
  const served = await serve(t);
  const viewer = await view(t, served, CONSOLE);
  assert.equal(await viewer.closed, 1011);
});

test('a viewer that does not read is closed; the others see on', async (t) => {
  const { served, ports } = await serveConsole(t, {
    limits: { socketLimits: { socketsMax: 10, backlogBytesMax: 64 * 1024 } },
  });
  const slow = await view(t, served, CONSOLE);
  const quick = await view(t, served, CONSOLE);
  await until(() => ports.length === 1);
  slow.socket.pause();
  const block = Buffer.alloc(64 * 1024, 'x');
  let received = 0;
  quick.socket.on('message', (data: Buffer) => {
    received += data.length;
  });
  // Enough to fill what the kernel holds for a socket, and then what we do.
  const blocks = 400;
  for (let sent = 0; sent < blocks; sent += 1) {
    const before = received;
    ports[0]?.guest.write(block);
    await until(() => received > before);
  }
  slow.socket.resume();
  assert.equal(await slow.closed, 1013);
  await until(() => received >= blocks * block.length);
});

test('a guest that does not read its console does not make the daemon keep what is typed', async (t) => {
  const { served, ports } = await serveConsole(t);
  const viewer = await view(t, served, CONSOLE);
  await until(() => ports.length === 1);
  const keys = Buffer.alloc(LIMITS.consoleInputBytesMax / 2, 'k');
  for (let sent = 0; sent < 8; sent += 1) viewer.socket.send(keys);
  assert.equal(await viewer.closed, 1013);
});

test('a client without the right is refused before the upgrade', async (t) => {
  const { served } = await serveConsole(t, {
    settings: { VOLANT_API_KEY: 'secret', VOLANT_CORS_ORIGINS: 'http://app.example' },
  });
  const { port, engine } = served;
  const key = { 'X-Volant-API-Key': 'secret' };
  assert.equal(await refusal(port, CONSOLE), '401 UNAUTHORIZED');
  assert.equal(await refusal(port, `${CONSOLE}?api_key=wrong`), '401 UNAUTHORIZED');
  assert.equal(await refusal(port, `${CONSOLE}?api_key=secret`), '101');
  assert.equal(await refusal(port, CONSOLE, key), '101');
  const origin = (from: string) => refusal(port, CONSOLE, { ...key, Origin: from });
  assert.equal(await origin('http://evil.example'), '403 ORIGIN_FORBIDDEN');
  assert.equal(await origin('null'), '403 ORIGIN_FORBIDDEN');
  assert.equal(await origin('http://app.example'), '101');
  assert.equal(await origin(`http://localhost:${port}`), '101');
  assert.equal(await refusal(port, '/ws/v1/vms/none/console', key), '404 VM_NOT_FOUND');
  assert.equal(await refusal(port, '/ws/v1/vms/none/logs', key), '404 VM_NOT_FOUND');
  const plain = await fetch(`http://127.0.0.1:${port}${CONSOLE}`, { headers: key });
  assert.equal(plain.status, 400);
  await engine.vms.stop('one');
  assert.equal(await refusal(port, CONSOLE, key), '409 VM_STATE_CONFLICT');
  assert.equal(await refusal(port, LOGS, key), '409 VM_STATE_CONFLICT');
});

test('there is a bound for WebSockets', async (t) => {
  const { served } = await serveConsole(t, {
    limits: { socketLimits: { socketsMax: 2, backlogBytesMax: 1024 } },
  });
  await view(t, served, CONSOLE);
  const second = await view(t, served, CONSOLE);
  assert.equal(await refusal(served.port, CONSOLE), '503 OVERLOADED');
  second.socket.close();
  await second.closed;
  await view(t, served, CONSOLE);
});

test('a log is the lines of the agent with the name of the VM, and ends when the VM does', async (t) => {
  const asked: string[] = [];
  let emit: (text: string) => void = () => undefined;
  const served = await serve(t, {
    agent: (incoming, answer) => {
      asked.push(incoming.url ?? '');
      answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
      answer.write(': connected\n\n');
      emit = (text) => answer.write(text);
    },
  });
  const viewer = await view(t, served, `${LOGS}?tail=7`);
  await until(() => asked.length === 1);
  assert.deepEqual(asked, ['/v1/logs/stream?tail=7']);
  const line = {
    stream: 'stderr',
    timestamp: '2024-01-02T03:04:05Z',
    line: 'gr\u00fc\u00df "dich"',
  };
  const text = Buffer.from(`data: ${JSON.stringify(line)}\n\n`);
  // Cut in the middle of a character.
  const cut = text.indexOf(0xc3) + 1;
  emit(': heartbeat\n\n');
  emit(text.subarray(0, cut) as unknown as string);
  await new Promise((resolve) => setTimeout(resolve, 20));
  emit(text.subarray(cut) as unknown as string);
  await until(() => viewer.frames.length === 1);
  assert.deepEqual(JSON.parse(viewer.frames[0] ?? ''), { name: 'one', ...line });
  await served.engine.vms.stop('one');
  assert.equal(await viewer.closed, 1000);
  await until(() => served.agentStreams.size === 0);
});

test('a log without an agent, or with one that goes away, can be asked for later', async (t) => {
  const silent = await serve(t);
  assert.equal(await (await view(t, silent, LOGS)).closed, 1013);
  const refusing = await serve(t, {
    agent: (_, answer) => {
      answer.writeHead(503).end();
    },
  });
  assert.equal(await (await view(t, refusing, LOGS)).closed, 1013);
  const leaving = await serve(t, {
    agent: (incoming, answer) => {
      answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
      answer.write(': connected\n\n');
      setTimeout(() => incoming.socket.destroy(), 20);
    },
  });
  assert.equal(await (await view(t, leaving, LOGS)).closed, 1013);
});

test('an agent that sends what is no log is not listened to', async (t) => {
  for (const nonsense of ['data: {"line"\n\n', 'data: "text"\n\n', 'data: '.padEnd(80_000, 'x')]) {
    const served = await serve(t, {
      agent: (_, answer) => {
        answer.writeHead(200, { 'Content-Type': 'text/event-stream' });
        answer.write(nonsense);
      },
    });
    assert.equal(await (await view(t, served, LOGS)).closed, 1011);
  }
});

test('a daemon that drains says so', async (t) => {
  const { served } = await serveConsole(t);
  const viewer = await view(t, served, CONSOLE);
  await served.server.drain(10_000);
  assert.equal(await viewer.closed, 1001);
});
