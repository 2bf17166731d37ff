// cli: files that are not text: bytes arrive unchanged, and a file that must be text and is not is refused.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { startFakeDaemon } from '../client/fake-daemon.ts';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { volar } from './volar.ts';

const PACKED = gzipSync('#cloud-config\n');
const LATIN1 = Buffer.from('{"name": "caf\xe9"}', 'latin1');

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'volar-bytes-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('a packed document of cloud-init stays what it is, and text stays text', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => response.writeHead(201).end());
  const home = directory(t);
  writeFileSync(join(home, 'user.gz'), PACKED);
  writeFileSync(join(home, 'meta.yaml'), '\ufeffgrüße: "ja"\n');
  writeFileSync(join(home, 'network'), 'a\0b');
  const documents = { user_data: 'user.gz', meta_data: 'meta.yaml', network_config: 'network' };
  const cloud_init = Object.fromEntries(
    Object.entries(documents).map(([name, path]) => [name, { path }]),
  );
  const file = join(home, 'plugin.json');
  writeFileSync(file, JSON.stringify({ name: 'mine', version: '1', cloud_init }));
  const ended = await volar(t, daemon.url, ['plugins', 'install', file]);
  assert.equal(ended.status, 0, ended.stderr);
  const sent = JSON.parse(daemon.seen[0]?.body ?? '').cloud_init;
  assert.equal(sent.user_data.encoding, 'base64');
  const user = Buffer.from(sent.user_data.content, 'base64');
  assert.deepEqual(user, PACKED);
  assert.equal(gunzipSync(user).toString(), '#cloud-config\n');
  assert.deepEqual(sent.meta_data, { inline: true, content: '\ufeffgrüße: "ja"\n' });
  assert.deepEqual(sent.network_config, {
    inline: true,
    content: Buffer.from('a\0b').toString('base64'),
    encoding: 'base64',
  });
});

test('a file that must be text and is none is refused by its name', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => response.writeHead(201).end());
  const file = join(directory(t), 'latin1.json');
  writeFileSync(file, LATIN1);
  for (const words of [
    ['plugins', 'install', file],
    ['apply', '--file', file],
    ['vms', 'create', 'one', '--plugin', 'p', '--config', file],
  ]) {
    const ended = await volar(t, daemon.url, words);
    assert.match(ended.stderr, /latin1.json is not text in UTF-8/, words.join(' '));
    assert.notEqual(ended.status, 0);
  }
  assert.deepEqual(daemon.seen, []);
  // What some editors put before a text is no part of it.
  writeFileSync(file, '\ufeff{"name": "mine", "version": "1"}');
  const marked = await volar(t, daemon.url, ['plugins', 'install', file]);
  assert.equal(marked.stdout, 'mine  installed\n', marked.stderr);
});

test('a body of a call, and its answer, are bytes', async (t) => {
  const bodies: Buffer[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method === 'GET') {
      const paths = { '/pack': { post: { operationId: 'pack' } } };
      response.writeHead(200, { 'content-type': 'application/json' });
      return response.end(JSON.stringify({ openapi: '3.0.0', paths }));
    }
    bodies.push(Buffer.concat(chunks));
    return response.end(PACKED);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const file = join(directory(t), 'body');
  writeFileSync(file, LATIN1);
  const program = join(PROJECT_ROOT, '.build/src/cli/main.js');
  const words = ['--api', url, 'vms', 'call', 'one', 'pack', '--body-file', file];
  const child = spawn(process.execPath, [program, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const printed: Buffer[] = [];
  child.stdout.on('data', (chunk) => printed.push(chunk));
  const [status] = await once(child, 'close');
  assert.equal(status, 0);
  assert.deepEqual(bodies, [LATIN1]);
  assert.deepEqual(Buffer.concat(printed), PACKED);
});
