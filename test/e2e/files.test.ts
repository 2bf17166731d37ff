// e2e: files of a real guest through the API: whole or in part, listed, changed, refused, and as trees.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '../../src/client/errors.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';
import { startFileGuest } from './file-guests.ts';

const NEEDS = ['root', 'netns', 'tun', 'qemu', 'kernel'] as const;
const MIB = 1024 ** 2;
const hashOf = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
const bytesOf = async (stream: ReadableStream<Uint8Array>) =>
  Buffer.from(await new Response(stream).arrayBuffer());

const codeOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => assert.fail('it succeeded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ApiError, String(error));
  return `${error.status} ${error.code}`;
};

test('what is written is read, byte for byte, in a guest without network', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { client, ask } = await startFileGuest(t);
  const { files } = client;
  for (const size of [0, 1, 64 * 1024, 20 * MIB]) {
    const bytes = randomBytes(size);
    const facts = await files.write('one', '/disk/data', bytes);
    assert.equal(facts.size, size);
    const { sizeBytes, stream, etag } = await files.read('one', '/disk/data');
    assert.equal(sizeBytes, size);
    assert.equal(etag, facts.etag);
    assert.equal(hashOf(await bytesOf(stream)), hashOf(bytes));
    const streamed = Readable.toWeb(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]));
    await files.write('one', '/disk/streamed', streamed as ReadableStream<Uint8Array>);
    const again = await bytesOf((await files.read('one', '/disk/streamed')).stream);
    assert.equal(hashOf(again), hashOf(bytes));
  }
  const bytes = await bytesOf((await files.read('one', '/disk/data')).stream);
  const range = { first: 5 * MIB + 1, last: 7 * MIB };
  const part = await bytesOf((await files.read('one', '/disk/data', { range })).stream);
  assert.ok(part.equals(bytes.subarray(range.first, range.last + 1)));
  const tail = await ask('GET /disk/data', { headers: { Range: 'bytes=-3' } });
  assert.equal(tail.status, 206);
  assert.equal(
    tail.headers.get('content-range'),
    `bytes ${20 * MIB - 3}-${20 * MIB - 1}/${20 * MIB}`,
  );
  const beyond = await ask('GET /disk/data', { headers: { Range: `bytes=${20 * MIB}-` } });
  assert.deepEqual(
    [
      beyond.status,
      beyond.headers.get('content-range'),
      ((await beyond.json()) as { code: string }).code,
    ],
    [416, `bytes */${20 * MIB}`, 'FILE_RANGE_INVALID'],
  );
  const head = await ask('HEAD /disk/data');
  assert.deepEqual(
    [head.status, head.headers.get('content-length'), head.headers.get('x-volant-type')],
    [200, String(20 * MIB), 'file'],
  );
  assert.equal((await ask('HEAD /disk/none')).status, 404);
  const etag = head.headers.get('etag') ?? '';
  const known = await ask('GET /disk/data', { headers: { 'If-None-Match': etag } });
  assert.deepEqual([known.status, known.headers.get('etag')], [304, etag]);
  assert.equal((await ask('GET /disk%2Fdata', { method: 'HEAD' })).status, 200);
});

test('modes, owners, directories, lists, renames and deletions', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { client } = await startFileGuest(t);
  const { files } = client;
  const owner = { uid: 7, gid: 8 };
  const facts = await files.write('one', '/disk/a/b/f', 'x', { mode: 0o640, owner, parents: true });
  assert.deepEqual([facts.mode, facts.uid, facts.gid], ['0640', 7, 8]);
  const kept = await files.write('one', '/disk/a/b/f', 'y', { ifMatch: facts.etag });
  assert.deepEqual([kept.mode, kept.uid, kept.gid], ['0640', 7, 8]);
  const late = files.write('one', '/disk/a/b/f', 'z', { ifMatch: facts.etag });
  assert.equal(await codeOf(late), '412 FILE_CHANGED');
  const taken = files.write('one', '/disk/a/b/f', 'z', { ifNoneMatch: '*' });
  assert.equal(await codeOf(taken), '412 FILE_CHANGED');
  assert.equal((await files.makeDirectory('one', '/disk/d', { mode: 0o700 })).mode, '0700');
  const moved = await files.change('one', '/disk/a/b/f', { to: '/disk/d/g', mode: 0o600 });
  assert.deepEqual([moved.name, moved.mode], ['g', '0600']);
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let index = worker; index < 200; index += 8)
        await files.write('one', `/disk/many/${index}`, String(index), { parents: true });
    }),
  );
  const { entries, more } = await files.list('one', '/disk/many');
  assert.equal(more, false);
  assert.equal(new Set(entries.map(({ name }) => name)).size, 200);
  const page = await files.list('one', '/disk/many', { offset: 190, limit: 5 });
  assert.deepEqual([page.entries.length, page.more], [5, true]);
  assert.equal(await codeOf(files.remove('one', '/disk/many')), '409 FILE_TYPE_CONFLICT');
  await files.remove('one', '/disk/many', { recursive: true });
  assert.equal(await codeOf(files.stat('one', '/disk/many')), '404 FILE_NOT_FOUND');
});

test('what cannot be done is refused with a code and a reason', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { client, ask, daemon } = await startFileGuest(t);
  const { files } = client;
  assert.equal(
    await codeOf(files.write('one', '/small/f', randomBytes(2 * MIB))),
    '507 FILE_SYSTEM_FULL',
  );
  assert.deepEqual((await files.list('one', '/small')).entries, []);
  assert.equal(await codeOf(files.write('one', '/fixed/f', 'x')), '409 FILE_SYSTEM_READ_ONLY');
  assert.equal(await codeOf(files.read('one', '/disk')), '409 FILE_TYPE_CONFLICT');
  assert.equal(await codeOf(files.read('one', '/none')), '404 FILE_NOT_FOUND');
  assert.equal(await codeOf(files.write('one', '/none/f', 'x')), '404 FILE_NOT_FOUND');
  assert.equal(await codeOf(files.write('one', '/dev/null', 'x')), '409 FILE_TYPE_CONFLICT');
  assert.equal(await codeOf(files.read('one', '/dev/null')), '409 FILE_TYPE_CONFLICT');
  assert.equal(await codeOf(files.read('one', '/fixed/f/below')), '409 FILE_TYPE_CONFLICT');
  assert.equal(await codeOf(files.stat('two', '/f')), '404 VM_NOT_FOUND');
  const wrong: [string, string[]][] = [
    ['GET /f?format=zip&offset=x', ['format', 'offset']],
    ['PUT /f?mode=888&owner=root', ['mode', 'owner']],
    ['PATCH /f?to=/a/../b', ['to']],
    ['GET /f?root=disk', ['root']],
    ['GET /f?recursive=true', ['recursive']],
    ['GET /a%00b', ['path']],
    ['GET /%zz', ['path']],
    ['GET /a/%252e%252e/b', ['path']],
    [`GET /${'a/'.repeat(2100)}`, ['path']],
  ];
  for (const [target, names] of wrong) {
    const answer = await ask(target);
    const { code, details } = (await answer.json()) as { code: string; details: object };
    assert.deepEqual(
      [answer.status, code, Object.keys(details)],
      [400, 'PARAMETER_INVALID', names],
      target,
    );
  }
  const post = await ask('POST /f');
  assert.deepEqual([post.status, post.headers.get('allow')?.includes('PUT')], [405, true]);
  assert.match(
    String(await bytesOf((await files.read('one', '/proc/meminfo')).stream)),
    /^MemTotal/,
  );
  await daemon.call('POST', '/api/v1/vms/one/stop');
  assert.equal(await codeOf(files.stat('one', '/')), '409 VM_STATE_CONFLICT');
});

test('a guest without an agent answers 409', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await daemon.createVm('one');
  const { status, body } = await daemon.call('GET', '/api/v1/vms/one/files/etc');
  assert.deepEqual([status, body.code], [409, 'VM_STATE_CONFLICT']);
});

test('an upload that is aborted leaves the old file and nothing else', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { client, daemon } = await startFileGuest(t);
  await client.files.write('one', '/disk/f', 'old');
  const socket = connect(Number(new URL(daemon.url).port), '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(
    'PUT /api/v1/vms/one/files/disk/f HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n',
  );
  socket.write(Buffer.alloc(3_000_000));
  await pause(500);
  assert.equal(String(await bytesOf((await client.files.read('one', '/disk/f')).stream)), 'old');
  socket.destroy();
  await pause(500);
  const { entries } = await client.files.list('one', '/disk');
  assert.deepEqual(
    entries.map(({ name }) => name),
    ['f'],
  );
  assert.equal(String(await bytesOf((await client.files.read('one', '/disk/f')).stream)), 'old');
});

test('a reader that takes nothing costs the daemon no memory, and a VM that ends breaks the answer off', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { client, daemon, ask } = await startFileGuest(t);
  await client.files.write('one', '/disk/f', new Uint8Array(64 * MIB));
  const memoryKb = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid()}/status`, 'latin1'))?.[1]);
  const before = memoryKb();
  const slow = await Promise.all(Array.from({ length: 4 }, () => ask('GET /disk/f')));
  const readers = slow.map((answer) => answer.body?.getReader());
  for (const reader of readers) await reader?.read();
  await pause(1_500);
  const grownKb = memoryKb() - before;
  assert.ok(grownKb < 48 * 1024, `${grownKb} KiB for 256 MiB under way`);
  const guest = await client.files.list('one', '/disk');
  assert.equal(guest.entries.length, 1);
  await daemon.call('DELETE', '/api/v1/vms/one');
  for (const reader of readers) {
    await assert.rejects(async () => {
      for (;;) if ((await reader?.read())?.done !== false) return;
    });
  }
  assert.equal(await codeOf(client.files.stat('one', '/')), '404 VM_NOT_FOUND');
});

test('tools for agents read in parts, write and list', async (t) => {
  if (!requireCapability(t, ...NEEDS)) return;
  const { daemon } = await startFileGuest(t);
  const call = async (tool: string, params: object) => {
    const body = { command: `volant.vms.files.${tool}`, params: { name: 'one', ...params } };
    return (await daemon.call('POST', '/api/v1/mcp', body)).body;
  };
  const content = 'é'.repeat(10);
  const written = await call('write', { path: '/disk/a/f', content, mode: '0600', parents: true });
  assert.deepEqual([written.result.size, written.result.mode], [20, '0600']);
  const read = async (more: object) => (await call('read', { path: '/disk/a/f', ...more })).result;
  const first = await read({ limit: 5 });
  assert.deepEqual(
    [first.content, first.encoding, first.size, first.next_offset],
    ['éé', 'text', 20, 4],
  );
  const rest = await read({ offset: 4 });
  assert.deepEqual([rest.content, rest.next_offset], ['é'.repeat(8), null]);
  assert.equal((await read({ offset: 1, limit: 2 })).encoding, 'base64');
  assert.deepEqual(
    [(await read({ offset: 99 })).content, (await read({ offset: 99 })).next_offset],
    ['', null],
  );
  await call('write', { path: '/disk/a/empty', content: '' });
  assert.equal((await call('read', { path: '/disk/a/empty' })).result.content, '');
  const stale = await call('write', { path: '/disk/a/f', content: 'x', etag: '"other"' });
  assert.match(stale.error, /another version/);
  const { entries, more } = (await call('list', { path: '/disk/a', limit: 1 })).result;
  assert.deepEqual([entries.length, more], [1, true]);
  assert.match((await call('read', { path: '/disk' })).error, /is a directory/);
});
