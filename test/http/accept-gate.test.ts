// http: one turn of the event loop accepts only a few of any number of new connections, and the socket is closed when the
// server closes it, even in the middle of a turn.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { native } from '../../src/host/jobs/native.ts';
import { AcceptGate } from '../../src/http/accept-gate.ts';
import { Listener } from '../../src/http/listener.ts';
import { App, type TemplatedApp, utf8 } from '../../src/http/uws.ts';
import type { ListenAddress } from '../../src/lib/settings.ts';
import { eventually, inTime } from './harness.ts';

const PER_TURN = 8;
const CONNECTIONS = 300;

interface Server {
  readonly listener: Listener;
  /** How many connections each turn accepted. */
  readonly turns: number[];
  onAccepted: () => void;
}

async function startGated(t: TestContext, address: ListenAddress): Promise<Server> {
  const gate = new AcceptGate(native, PER_TURN);
  const app: TemplatedApp = App();
  const listener = new Listener(address, gate);
  const server: Server = { listener, turns: [], onAccepted: () => undefined };
  let accepted = 0;
  const onChange = (_response: unknown, change: number): void => {
    if (change < 0) return;
    accepted += 1;
    if (accepted === 1) {
      setImmediate(() => {
        server.turns.push(accepted);
        accepted = 0;
      });
    }
    gate.accepted();
    server.onAccepted();
  };
  app.filter(onChange);
  app.any('/*', (response) => void response.end(utf8('yes')));
  await listener.open(app, false);
  t.after(() => listener.close());
  return server;
}

/** Resolves with what the server answered; null: it refused the connection or closed it. */
function ask(t: TestContext, to: NetConnectOpts): Promise<string | null> {
  return new Promise((resolve) => {
    const socket: Socket = connect(to);
    t.after(() => socket.destroy());
    socket.setEncoding('utf8');
    socket.once('error', () => resolve(null));
    socket.once('close', () => resolve(null));
    socket.once('data', (text: string) => resolve(text));
    socket.once('connect', () => socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
  });
}

const openDescriptors = () => readdirSync('/proc/self/fd').length;

function addresses(t: TestContext): readonly ListenAddress[] {
  const directory = mkdtempSync(join(tmpdir(), 'volant-gate-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return [
    { kind: 'tcp', host: '127.0.0.1', port: 0 },
    { kind: 'tcp', host: '::1', port: 0 },
    { kind: 'unix', path: join(directory, 'api.sock') },
  ];
}

function reached(address: ListenAddress, { listener }: Server): NetConnectOpts {
  if (address.kind === 'unix') return { path: address.path };
  return { host: address.host, port: listener.port ?? 0 };
}

test('a turn accepts a few connections, and all are answered in the end', async (t) => {
  for (const address of addresses(t)) {
    const server = await startGated(t, address);
    const to = reached(address, server);
    const asked = Promise.all(Array.from({ length: CONNECTIONS }, () => ask(t, to)));
    const answers = await inTime(asked, 'answers');
    assert.ok(answers.every((answer) => answer?.startsWith('HTTP/1.1 200')));
    await turn();
    const accepted = server.turns.reduce((sum, one) => sum + one, 0);
    assert.equal(accepted, CONNECTIONS);
    assert.ok(Math.max(...server.turns) <= PER_TURN, `turns accepted ${server.turns}`);
  }
});

test('without control of descriptors the server accepts as it does by itself', async (t) => {
  const gate = new AcceptGate(null);
  const app = App();
  app.any('/*', (response) => void response.end(utf8('yes')));
  const listener = new Listener({ kind: 'tcp', host: '127.0.0.1', port: 0 }, gate);
  await listener.open(app, false);
  t.after(() => listener.close());
  const answer = await inTime(ask(t, { port: listener.port ?? 0 }), 'an answer');
  assert.match(answer ?? '', /^HTTP\/1.1 200/);
});

test('a server that stops listening in the middle of a turn is not listened on any more', async (t) => {
  for (const address of addresses(t)) {
    const before = openDescriptors();
    const server = await startGated(t, address);
    const to = reached(address, server);
    let accepted = 0;
    const drained = new Promise<void>((resolve) => {
      server.onAccepted = () => {
        accepted += 1;
        // The gate has just shut.
        if (accepted !== PER_TURN) return;
        server.listener.drain();
        resolve();
      };
    });
    const asked = Array.from({ length: 2 * PER_TURN }, () => ask(t, to));
    await inTime(drained, 'connections');
    const answers = await inTime(Promise.all(asked), 'answers and refusals');
    const answered = answers.filter((answer) => answer !== null);
    assert.equal(answered.length, PER_TURN, 'what was accepted is served');
    assert.equal(await inTime(ask(t, to), 'a refusal'), null);
    server.listener.close();
    await eventually(() => openDescriptors() <= before, 'no descriptor more than before');
  }
});
