// http, access: the API over TLS: requests, streams, WebSockets and volar; a certificate that changes while the server
// runs; invalid files.

import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { createClient } from '../../../src/client/client.ts';
import { loadConfig } from '../../../src/config.ts';
import { checkGuards } from '../../../src/http/access/guards.ts';
import { startVolar } from '../../cli/volar.ts';
import { requireCapability } from '../../helpers/capabilities.ts';
import { type MadeCertificate, makeCertificate } from '../../helpers/certificates.ts';
import { vmEvent } from '../fake-engine.ts';
import { eventually, inTime, startServer, type TestServer } from '../harness.ts';

function certificates(t: TestContext, ...names: string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-tls-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const made = names.map((name) => makeCertificate(directory, name));
  const served = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') };
  const put = (which: keyof typeof served, from: MadeCertificate | undefined) => {
    assert.ok(from);
    copyFileSync(from[which], `${served[which]}.next`);
    chmodSync(`${served[which]}.next`, 0o600);
    renameSync(`${served[which]}.next`, served[which]);
  };
  for (const which of ['certificate', 'key'] as const) put(which, made[0]);
  const environment = { VOLANT_TLS_CERT: served.certificate, VOLANT_TLS_KEY: served.key };
  return { made, served, put, environment, ca: made.map(({ ca }) => ca).join('') };
}

const portOf = ({ address }: TestServer) => ('port' in address ? address.port : 0);

/** A connection of its own, on which requests are written by hand. */
function dial(t: TestContext, server: TestServer, ca: string): Promise<TLSSocket> {
  const dialled = new Promise<TLSSocket>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: portOf(server), ca }, () => resolve(socket));
    socket.once('error', reject);
    t.after(() => void socket.destroy());
  });
  return inTime(dialled, 'a TLS connection');
}

const nameOf = (socket: TLSSocket) => socket.getPeerCertificate().subject.CN;

async function ask(socket: TLSSocket): Promise<string> {
  const answered = new Promise<string>((resolve) => socket.once('data', (d) => resolve(`${d}`)));
  socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
  return inTime(answered, 'an answer');
}

test('requests, events, sockets and volar go over TLS', async (t) => {
  if (!requireCapability(t, 'openssl')) return;
  const { environment, ca, made } = certificates(t, 'one');
  const server = await startServer(t, { environment });
  const baseUrl = `https://127.0.0.1:${portOf(server)}`;
  const client = createClient({ baseUrl, ca, WebSocket });
  assert.equal((await client.vms.create({ name: 'one', plugin: 'hello' })).name, 'one');
  const stop = new AbortController();
  for await (const event of client.events.all({
    signal: stop.signal,
    onState: ({ state }) => state === 'open' && server.fake.events.append(vmEvent('one')),
  })) {
    assert.equal(event.name, 'one');
    stop.abort();
  }
  // Refused by the daemon after the handshakes of TLS and HTTP, so it was reached.
  await assert.rejects(client.sockets.console('one', { onOutput: () => undefined }), /500/);
  const settings = { VOLANT_API_BASE: baseUrl, VOLANT_CA_FILE: made[0]?.certificate ?? '' };
  const listed = await startVolar(t, ['vms', 'list', '--json'], settings).ended;
  assert.equal(JSON.parse(listed.stdout)[0].name, 'one');
  const stranger = createClient({ baseUrl, retry: { attemptsMax: 1 } });
  await assert.rejects(stranger.vms.list(), /self-signed certificate/);
});

test('versions of TLS before 1.2 are refused, and so is plain HTTP', async (t) => {
  if (!requireCapability(t, 'openssl')) return;
  const { environment, ca } = certificates(t, 'one');
  const server = await startServer(t, { environment });
  const ending = (options: object) =>
    new Promise<string>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: portOf(server), ca, ...options }, () => {
        resolve(socket.getProtocol() ?? '');
        socket.destroy();
      });
      socket.once('error', () => resolve('refused'));
    });
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
  assert.equal(await ending(old), 'refused');
  assert.equal(await ending({ maxVersion: 'TLSv1.2' }), 'TLSv1.2');
  assert.equal(await ending({}), 'TLSv1.3');
  await assert.rejects(fetch(`http://127.0.0.1:${portOf(server)}/healthz`));
});

test('a new certificate is for new connections; what is connected continues', async (t) => {
  if (!requireCapability(t, 'openssl')) return;
  const { made, put, served, environment, ca } = certificates(t, 'one', 'two');
  const server = await startServer(t, { environment });
  const before = await dial(t, server, ca);
  assert.equal(nameOf(before), 'one');
  let events = '';
  const stream = await dial(t, server, ca);
  stream.on('data', (data) => {
    events += data;
  });
  stream.write('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually(() => events.includes('connected'), 'the stream');
  const told = (pattern: RegExp) => server.log.some(({ message }) => pattern.test(message));

  // One file alone does not belong to the other: the old pair stays.
  put('certificate', made[1]);
  await eventually(() => told(/the old one stays/), 'the complaint');
  assert.equal(nameOf(await dial(t, server, ca)), 'one');
  put('key', made[1]);
  await eventually(() => told(/new connections get/), 'the new certificate');
  assert.equal(nameOf(await dial(t, server, ca)), 'two');
  assert.match(await ask(before), /200 OK/);
  server.fake.events.append(vmEvent('late'));
  await eventually(() => events.includes('late'), 'an event on an old connection');

  const complaints = () => server.log.filter(({ level }) => level === 'error').length;
  const known = complaints();
  writeFileSync(served.key, 'no key');
  await eventually(() => complaints() > known, 'the second complaint');
  assert.equal(nameOf(await dial(t, server, ca)), 'two');
  const health = await ask(await dial(t, server, ca));
  assert.match(health, /TLS_FILES_BROKEN/);
  // Both generations end with the server.
  server.server.close();
  await eventually(() => before.destroyed && stream.destroyed, 'the end of old connections');
});

test('files that cannot be used end the start with their names', async (t) => {
  if (!requireCapability(t, 'openssl')) return;
  const { made, served, environment } = certificates(t, 'one', 'two');
  const problems = (more: Record<string, string>) =>
    checkGuards(loadConfig({ VOLANT_HOME: '/tmp/none', ...environment, ...more })).then(
      () => '',
      (error: Error) => error.message,
    );
  assert.equal(await problems({}), '');
  const other = made[1]?.key ?? '';
  assert.match(await problems({ VOLANT_TLS_KEY: other }), /VOLANT_TLS_KEY: .*two\.key.*mismatch/);
  assert.match(
    await problems({ VOLANT_TLS_CERT: '/tmp/none.crt' }),
    /\/tmp\/none\.crt is not there/,
  );
  assert.match(await problems({ VOLANT_TLS_CERT: served.key }), /VOLANT_TLS_CERT: .*tls\.key/);
  chmodSync(served.key, 0o644);
  assert.match(await problems({}), /VOLANT_TLS_KEY: .*mode 644/);
  for (const alone of [{ VOLANT_TLS_CERT: '' }, { VOLANT_TLS_KEY: '' }]) {
    assert.throws(() => loadConfig({ ...environment, ...alone }), /is of no use without it/);
  }
});
