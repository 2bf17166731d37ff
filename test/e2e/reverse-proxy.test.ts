// e2e: the configurations of docs/reverse-proxy.md as printed: nginx, HAProxy and Caddy with TLS in front of the server,
// with requests, events, WebSockets, long waits and large bodies.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { WebSocket } from 'ws';
import { createClient } from '../../src/client/client.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { createFakeEngine, vmEvent, vmRecord } from '../http/fake-engine.ts';
import { inTime, pause, startServer } from '../http/harness.ts';

const PORT = 8443;

/** The block of this language, with the addresses and files of the test. */
function setUp(language: string, daemonPort: number, directory: string): string {
  const page = readFileSync(`${PROJECT_ROOT}docs/reverse-proxy.md`, 'utf8');
  const block = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(page)?.[1];
  assert.ok(block, `docs/reverse-proxy.md has a block for ${language}`);
  return block
    .replaceAll('127.0.0.1:7777', `127.0.0.1:${daemonPort}`)
    .replaceAll('/etc/ssl', directory);
}

type Start = (config: string, directory: string) => readonly [string, readonly string[]];

const PROXIES: Readonly<Record<'nginx' | 'haproxy' | 'caddy', Start>> = {
  nginx: (config, directory) => {
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${directory}/${name};`,
    );
    const file = join(directory, 'nginx.conf');
    const http = `http { access_log off; ${paths.join(' ')}\n${config}\n}`;
    writeFileSync(file, `daemon off; user root; pid ${directory}/pid; events {}\n${http}\n`);
    return ['/usr/sbin/nginx', ['-c', file, '-e', `${directory}/error.log`]];
  },
  haproxy: (config, directory) => {
    const file = join(directory, 'haproxy.cfg');
    writeFileSync(file, config);
    return ['/usr/sbin/haproxy', ['-db', '-q', '-f', file]];
  },
  caddy: (config, directory) => {
    const file = join(directory, 'Caddyfile');
    // Without a name of its own no authority gives it a certificate.
    const site = `https://127.0.0.1:${PORT} {\n  tls ${directory}/volant.crt ${directory}/volant.key`;
    const global = `{\n  admin off\n  auto_https disable_redirects\n  storage file_system ${directory}/storage\n}\n`;
    writeFileSync(file, global + config.replace('volant.example.org {', site));
    return ['/usr/bin/caddy', ['run', '--adapter', 'caddyfile', '--config', file]];
  },
};

async function startProxy(t: TestContext, name: keyof typeof PROXIES) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-proxy-'));
  const { certificate, key, ca } = makeCertificate(directory, 'volant');
  writeFileSync(join(directory, 'volant.pem'), ca + readFileSync(key, 'utf8'));
  assert.equal(certificate, join(directory, 'volant.crt'));
  const base = createFakeEngine();
  const late = async (): Promise<string> => {
    await pause(3_000);
    return base.vms.body('one') ?? '';
  };
  const fake = { ...base, engine: { ...base.engine, vms: { ...base.engine.vms, start: late } } };
  base.vms.put(vmRecord(1, 'one'));
  Object.assign(fake.engine, {
    plugins: { ...base.engine.plugins },
    consoles: {
      attach: (_name: string, viewer: { onOutput(bytes: Uint8Array): void }) => {
        setTimeout(() => viewer.onOutput(Buffer.from('login: ')), 20);
        return {
          write: (bytes: Uint8Array) => {
            viewer.onOutput(bytes);
            return true;
          },
          leave: () => undefined,
        };
      },
    },
  });
  const server = await startServer(t, { fake });
  const daemonPort = server.server.port ?? 0;
  const [command, args] = PROXIES[name](setUp(name, daemonPort, directory), directory);
  // Caddy logs to its standard error, and keeps what it remembers below its home.
  const stderr = name === 'caddy' ? 'ignore' : 'inherit';
  const env = { ...process.env, HOME: directory };
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', stderr], env });
  t.after(async () => {
    if (child.exitCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  });
  const client = createClient({ baseUrl: `https://127.0.0.1:${PORT}`, ca, WebSocket });
  await inTime(untilHealthy(client), 'the proxy');
  return { client, fake: base, ca };
}

async function untilHealthy(client: ReturnType<typeof createClient>): Promise<void> {
  for (;;) {
    try {
      await client.system.health();
      return;
    } catch {
      await pause(50);
    }
  }
}

/** The whole answer to a request whose head, after its first line, is as it is given. */
function answerTo(ca: string, line: string, head: string, body = ''): Promise<string> {
  const answered = new Promise<string>((resolve, reject) => {
    let answer = '';
    const text = `${line}\r\n${head}\r\nConnection: close\r\n\r\n${body}`;
    const socket = connect({ host: '127.0.0.1', port: PORT, ca }, () => socket.write(text));
    socket.on('data', (data) => {
      answer += data;
    });
    socket.once('close', () => resolve(answer));
    socket.once('error', reject);
  });
  return inTime(answered, 'an answer');
}

const statusIn = (answer: string) => answer.split(' ')[1] ?? '';

/** Requests that two parsers may divide in two ways: whose head it is in the table of the page, and what comes of them. */
const AMBIGUOUS: readonly (readonly [head: string, body: string, refusedBy: RegExp])[] = [
  ['Host: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 7', '{}', /./],
  ['Host: 127.0.0.1\r\nHost: other\r\nContent-Length: 2', '{}', /./],
  ['Host: 127.0.0.1\r\nTransfer-Encoding: identity\r\nContent-Length: 2', '{}', /./],
  ['Host: 127.0.0.1\r\nContent-Length : 2', '{}', /./],
  [
    'Host: 127.0.0.1\r\nContent-Length: 60\r\nTransfer-Encoding: chunked',
    '2\r\n{}\r\n0\r\n\r\n',
    /nginx/,
  ],
];

for (const name of ['nginx', 'haproxy', 'caddy'] as const) {
  test(`the API works through ${name}`, async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'openssl', name)) return;
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
    const { client, fake, ca } = await startProxy(t, name);
    assert.equal((await client.vms.create({ name: 'two', plugin: 'hello' })).name, 'two');

    const stop = new AbortController();
    const seen: string[] = [];
    // One at a time: a buffer that waits for more would keep the first one back.
    for await (const event of client.events.all({
      signal: stop.signal,
      onState: ({ state }) => state === 'open' && fake.events.append(vmEvent('first')),
    })) {
      seen.push(event.name);
      if (seen.length === 2) stop.abort();
      else fake.events.append(vmEvent('second'));
    }
    assert.deepEqual(seen, ['first', 'second']);

    const output: string[] = [];
    let heard: () => void = () => undefined;
    const echoed = new Promise<void>((resolve) => {
      heard = resolve;
    });
    const onOutput = (bytes: Uint8Array) => {
      output.push(Buffer.from(bytes).toString());
      if (output.join('').includes('echo')) heard();
    };
    const terminal = await client.sockets.console('one', { onOutput });
    terminal.write('echo');
    await inTime(echoed, 'the echo');
    terminal.close();

    assert.equal((await client.vms.start('one', { wait: 'ready' })).name, 'one');

    const description = 'x'.repeat(3 * 1024 * 1024);
    await client.plugins.install({ name: 'large', version: '1', description } as never);
    assert.equal(fake.calls.at(-1)?.name, 'plugins.install');

    const made = fake.calls.length;
    for (const [head, body, refusedBy] of AMBIGUOUS) {
      const answer = await answerTo(ca, 'POST /api/v1/vms HTTP/1.1', head, body);
      assert.match(statusIn(answer), /^[45]/, `${head}: ${answer}`);
      // What is forwarded is one request, that is the body `{}`: the daemon refuses it for its own reason.
      assert.equal(answer.includes('BODY_INVALID'), !refusedBy.test(name), `${head}: ${answer}`);
    }
    assert.equal(fake.calls.length, made, 'nothing was hidden in a body');

    const host = 'Host: 127.0.0.1';
    const ofClient = `${host}\r\nX-Request-Id: from-the-client`;
    const traced = await answerTo(ca, 'GET /healthz HTTP/1.1', ofClient);
    assert.match(traced, /^x-request-id: from-the-client\r$/im);
    const old = await answerTo(ca, 'GET /healthz HTTP/1.0', host);
    // HAProxy hands the version of its client on.
    assert.equal(statusIn(old), name === 'haproxy' ? '505' : '200', 'a client of HTTP/1.0');
  });
}
