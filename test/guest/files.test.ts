// What the daemon relies on for files: the agent reads and writes them as it is asked, and never outside of the root that it is
// given. The agent is a program of the host here, so each test has a root of its own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { askFiles, type FileAnswer, type FileRequest } from './ask-files.ts';
import { shareHostAgent, temporaryDirectory } from './programs.ts';
import { type ServedAgent, serveAgent, soon } from './served-agent.ts';

let program = '';

interface Room {
  readonly root: string;
  readonly agent: ServedAgent;
  /** "METHOD /path?query", below the root. */
  ask(target: string, more?: FileRequest): Promise<FileAnswer>;
}

async function room(t: TestContext): Promise<Room> {
  const agent = await serveAgent(t, program);
  const root = temporaryDirectory(t);
  const ask = (target: string, more?: FileRequest) => {
    const join = target.includes('?') ? '&' : '?';
    return askFiles(agent.channel, `${target}${join}root=${encodeURIComponent(root)}`, more);
  };
  return { root, agent, ask };
}

const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8);
const code = ({ status, json, headers }: FileAnswer) => {
  assert.equal(headers['x-volant-code'], json.code);
  return `${status} ${json.code}`;
};

suite('files of a guest', () => {
  shareHostAgent((path) => {
    program = path;
  });

  test('bytes return as they were sent, whatever their number', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    for (const size of [0, 1, 65_535, 65_536, 65_537, 3_000_000]) {
      const body = randomBytes(size);
      const put = await ask('PUT /data.bin', { body });
      assert.equal(put.status, size === 0 ? 201 : 200, put.text);
      assert.equal(put.json.size, size);
      assert.ok(readFileSync(join(root, 'data.bin')).equals(body));
      const got = await ask('GET /data.bin');
      assert.equal(got.status, 200);
      assert.ok(got.body.equals(body));
      assert.equal(got.headers['content-length'], String(size));
      assert.equal(got.headers['etag'], put.headers['etag']);
      const chunks = [body.subarray(0, 10), body.subarray(10)].filter(({ length }) => length > 0);
      assert.equal((await ask('PUT /chunked.bin', { chunks })).json.size, size);
      assert.ok(readFileSync(join(root, 'chunked.bin')).equals(body));
    }
    assert.deepEqual(readdirSync(root).sort(), ['chunked.bin', 'data.bin']);
  });

  test('names with any characters are named by their path, escaped', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    for (const name of ['a b', 'é€', '100%', 'q?=&#', '+', '\'"\\']) {
      const path = `/${encodeURIComponent(name)}`;
      assert.equal((await ask(`PUT ${path}`, { body: name })).json.name, name);
      assert.equal(readFileSync(join(root, name), 'utf8'), name);
    }
    assert.equal((await ask('PUT /caf%E9', { body: 'x' })).json.name_escaped, '%63%61%66%E9');
    assert.equal(code(await ask('GET /a%00b')), '400 PARAMETER_INVALID');
    assert.equal(code(await ask('GET /%zz')), '400 PARAMETER_INVALID');
    assert.equal(code(await ask('GET /x?follow=maybe')), '400 PARAMETER_INVALID');
    assert.equal(code(await ask('GET /x?strange=1')), '400 PARAMETER_INVALID');
    assert.equal(code(await ask(`GET /${'n'.repeat(256)}`)), '400 FILE_PATH_INVALID');
  });

  test('a part of a file is what was asked for', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    writeFileSync(join(root, 'f'), '0123456789');
    const part = async (range: string) => {
      const { status, text, headers } = await ask('GET /f', { headers: { Range: range } });
      return `${status} ${headers['content-range'] ?? ''} ${status === 416 ? '' : text}`.trim();
    };
    assert.equal(await part('bytes=2-4'), '206 bytes 2-4/10 234');
    assert.equal(await part('bytes=7-'), '206 bytes 7-9/10 789');
    assert.equal(await part('bytes=-3'), '206 bytes 7-9/10 789');
    assert.equal(await part('bytes=-99'), '206 bytes 0-9/10 0123456789');
    assert.equal(await part('bytes=5-99'), '206 bytes 5-9/10 56789');
    assert.equal(await part('bytes=10-'), '416 bytes */10');
    assert.equal(await part('bytes=-0'), '416 bytes */10');
    assert.equal(await part('bytes=4-2'), '200  0123456789');
    assert.equal(await part('bytes=0-1,3-4'), '200  0123456789');
    assert.equal(await part('lines=1-2'), '200  0123456789');
    const { etag = '' } = (await ask('HEAD /f')).headers;
    const headers = { Range: 'bytes=0-0', 'If-Range': etag };
    assert.equal((await ask('GET /f', { headers })).text, '0');
    assert.equal(
      (await ask('GET /f', { headers: { ...headers, 'If-Range': '"other"' } })).status,
      200,
    );
  });

  test('conditions are about the version of the file', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    const create = { 'If-None-Match': '*' };
    const first = await ask('PUT /f', { body: 'one', headers: create });
    assert.equal(first.status, 201);
    assert.equal(code(await ask('PUT /f', { body: 'two', headers: create })), '412 FILE_CHANGED');
    const etag = first.headers['etag'] ?? '';
    const known = { 'If-None-Match': etag };
    const unchanged = await ask('GET /f', { headers: known });
    assert.equal(unchanged.status, 304);
    assert.equal(unchanged.body.length, 0);
    assert.equal(unchanged.headers['etag'], etag);
    const since = { 'If-Modified-Since': first.headers['last-modified'] ?? '' };
    assert.equal((await ask('GET /f', { headers: since })).status, 304);
    const long = { 'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' };
    assert.equal((await ask('GET /f', { headers: long })).status, 200);
    const second = await ask('PUT /f', { body: 'two', headers: { 'If-Match': etag } });
    assert.equal(second.status, 200);
    assert.equal((await ask('GET /f', { headers: known })).text, 'two');
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      const late = await ask(`${method} /f`, { headers: { 'If-Match': etag } });
      assert.equal(code(late), '412 FILE_CHANGED', method);
    }
    assert.equal(
      code(await ask('PUT /none', { headers: { 'If-Match': '*' } })),
      '412 FILE_CHANGED',
    );
    assert.equal(readFileSync(join(root, 'f'), 'utf8'), 'two');
    assert.equal(
      (await ask('DELETE /f', { headers: { 'If-Match': second.headers['etag'] ?? '' } })).status,
      204,
    );
    assert.deepEqual(readdirSync(root), []);
  });

  test('modes, owners and times are set, and kept where nothing is said', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    const path = join(root, 'f');
    await ask('PUT /f', { body: 'x' });
    assert.equal(mode(path), '644');
    const put = await ask('PUT /f?mode=4750&owner=12:34&mtime=1000000000123', { body: 'y' });
    assert.deepEqual(
      [put.json.mode, put.json.uid, put.json.gid, put.json.mtime],
      ['4750', 12, 34, '2001-09-09T01:46:40.123Z'],
    );
    assert.equal(put.headers['x-volant-mode'], '4750');
    assert.equal(put.headers['x-volant-owner'], '12:34');
    await ask('PUT /f', { body: 'z' });
    assert.equal(mode(path), '4750');
    assert.equal(statSync(path).uid, 12);
    const set = await ask('PATCH /f?mode=600&owner=0:0');
    assert.deepEqual([set.json.mode, set.json.uid], ['0600', 0]);
    assert.equal(readFileSync(path, 'utf8'), 'z');
    assert.equal(code(await ask('PUT /f?mode=9')), '400 PARAMETER_INVALID');
    assert.equal(code(await ask('PUT /f?owner=root')), '400 PARAMETER_INVALID');
  });

  test('an upload that is aborted leaves the old file and nothing beside it', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root, agent } = await room(t);
    await ask('PUT /f', { body: 'old' });
    const stream = agent.channel.open();
    stream.on('error', () => undefined);
    const query = `?root=${encodeURIComponent(root)}`;
    stream.write(`PUT /agent/files/f${query} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc`);
    await pause(200);
    assert.equal(readFileSync(join(root, 'f'), 'utf8'), 'old');
    stream.destroy();
    await pause(200);
    assert.deepEqual(readdirSync(root), ['f']);
    assert.equal((await ask('GET /f')).text, 'old');
  });

  test('who reads sees the old file or the new one, never a part', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    const bodies = ['a', 'b'].map((letter) => letter.repeat(300_000));
    await ask('PUT /f', { body: bodies[0] ?? '' });
    let done = false;
    const writes = (async () => {
      for (let round = 0; round < 20; round += 1)
        await ask('PUT /f', { body: bodies[round % 2] ?? '' });
      done = true;
    })();
    let seen = 0;
    while (!done) {
      const text = readFileSync(join(root, 'f'), 'utf8');
      assert.ok(bodies.includes(text), `${text.length} bytes`);
      assert.ok(bodies.includes((await ask('GET /f')).text));
      seen += 1;
    }
    await writes;
    assert.ok(seen > 2);
  });

  test('a list has every name of a directory, in pages if asked', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    const names = Array.from({ length: 2_000 }, (_, index) => `file-${index}`);
    for (const name of names) writeFileSync(join(root, name), '');
    symlinkSync('file-1', join(root, 'link'));
    mkdirSync(join(root, 'sub'));
    const { json, headers } = await ask('GET /');
    assert.equal(headers['x-volant-type'], 'directory');
    const listed = json.entries as { name: string; type: string; target?: string }[];
    assert.deepEqual(listed.map(({ name }) => name).sort(), [...names, 'link', 'sub'].sort());
    assert.equal(json.more, false);
    assert.deepEqual(
      listed
        .filter(({ type }) => type !== 'file')
        .map(({ name, type, target }) => [name, type, target])
        .sort(),
      [
        ['link', 'link', 'file-1'],
        ['sub', 'directory', undefined],
      ],
    );
    const paged: string[] = [];
    for (let more = true; more; ) {
      const page = (await ask(`GET /?limit=300&offset=${paged.length}`)).json;
      paged.push(...page.entries.map(({ name }: { name: string }) => name));
      more = page.more;
    }
    assert.deepEqual(paged.sort(), [...names, 'link', 'sub'].sort());
    assert.equal(code(await ask('GET /sub?format=file')), '409 FILE_TYPE_CONFLICT');
    assert.equal(code(await ask('GET /file-1?format=list')), '409 FILE_TYPE_CONFLICT');
  });

  test('directories are made, renamed and deleted, and the facts of a name are reported', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    assert.equal((await ask('PUT /d?type=directory&mode=0700&owner=1:2')).status, 201);
    assert.equal(mode(join(root, 'd')), '700');
    assert.equal(code(await ask('PUT /d?type=directory')), '409 FILE_EXISTS');
    assert.equal((await ask('PUT /d?type=directory&parents=true')).status, 200);
    assert.equal(code(await ask('PUT /a/b/c?type=directory')), '404 FILE_NOT_FOUND');
    assert.equal((await ask('PUT /a/b/c?type=directory&parents=true')).status, 201);
    assert.equal((await ask('PUT /x/y/f?parents=true', { body: 'deep' })).status, 201);
    assert.equal(code(await ask('PUT /a', { body: 'x' })), '409 FILE_TYPE_CONFLICT');
    assert.equal(code(await ask('DELETE /a')), '409 FILE_TYPE_CONFLICT');
    assert.equal(code(await ask('DELETE /')), '409 FILE_TYPE_CONFLICT');
    assert.equal(code(await ask('DELETE /none')), '404 FILE_NOT_FOUND');
    assert.equal((await ask('DELETE /a?recursive=true')).status, 204);
    const moved = await ask('PATCH /x/y/f?to=/n/g&parents=true');
    assert.equal(moved.json.name, 'g');
    assert.equal(readFileSync(join(root, 'n/g'), 'utf8'), 'deep');
    await ask('PUT /other', { body: 'o' });
    assert.equal(code(await ask('PATCH /other?to=/n/g&replace=false')), '409 FILE_EXISTS');
    assert.equal((await ask('PATCH /other?to=/n/g')).status, 200);
    symlinkSync('n/g', join(root, 'link'));
    assert.equal((await ask('GET /link?format=stat')).json.type, 'file');
    const link = (await ask('GET /link?format=stat&follow=false')).json;
    assert.deepEqual([link.type, link.target], ['link', 'n/g']);
    assert.equal((await ask('GET /?format=stat')).json.name, '/');
    const head = await ask('HEAD /n/g');
    assert.deepEqual(
      [head.status, head.headers['content-length'], head.body.length],
      [200, '1', 0],
    );
  });

  test('links lead nowhere outside of the root', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    const outside = temporaryDirectory(t);
    writeFileSync(join(outside, 'secret'), 'secret');
    symlinkSync(join(outside, 'secret'), join(root, 'absolute'));
    symlinkSync('../'.repeat(20) + outside.slice(1), join(root, 'up'));
    symlinkSync('/proc/self/root', join(root, 'magic'));
    symlinkSync('loop', join(root, 'loop'));
    for (const path of ['/absolute', '/up/secret', `/magic${outside}/secret`]) {
      assert.match(code(await ask(`GET ${path}`)), /^404 FILE_NOT_FOUND|^400 FILE_PATH_INVALID/);
      assert.ok((await ask(`PUT ${path}`, { body: 'x' })).status >= 400, path);
      assert.ok((await ask(`DELETE /up?recursive=true`)).status <= 404);
    }
    assert.equal(code(await ask('GET /loop')), '400 FILE_PATH_INVALID');
    assert.deepEqual(readdirSync(outside), ['secret']);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    // An absolute link begins at the root.
    mkdirSync(join(root, 'etc'));
    symlinkSync('/etc/real', join(root, 'etc/alias'));
    assert.equal((await ask('PUT /etc/alias', { body: 'through' })).status, 201);
    assert.equal(readFileSync(join(root, 'etc/real'), 'utf8'), 'through');
    assert.ok(lstatSync(join(root, 'etc/alias')).isSymbolicLink());
    assert.equal((await ask('PUT /etc/alias?follow=false', { body: 'instead' })).status, 200);
    assert.ok(lstatSync(join(root, 'etc/alias')).isFile());
  });

  test('what is no file is neither read nor replaced', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root } = await room(t);
    execFileSync('mkfifo', [join(root, 'fifo')]);
    assert.equal(code(await ask('GET /fifo')), '409 FILE_TYPE_CONFLICT');
    assert.equal(code(await ask('PUT /fifo', { body: 'x' })), '409 FILE_TYPE_CONFLICT');
    assert.equal(code(await ask('POST /fifo')), '405 METHOD_NOT_ALLOWED');
  });

  test('files of the kernel, which have no size, are read to their end', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { agent } = await room(t);
    const status = await askFiles(agent.channel, 'GET /proc/self/status');
    assert.match(status.text, /^Name:\tvolant-files\n/);
    assert.match((await askFiles(agent.channel, 'GET /proc/meminfo')).text, /^MemTotal:/);
  });

  test('a file that becomes shorter while it is sent aborts the answer', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { ask, root, agent } = await room(t);
    const path = join(root, 'f');
    writeFileSync(path, Buffer.alloc(8_000_000));
    const stream = agent.channel.open();
    const query = `?root=${encodeURIComponent(root)}`;
    stream.write(`GET /agent/files/f${query} HTTP/1.1\r\n\r\n`);
    await new Promise((resolve) => stream.once('readable', resolve));
    truncateSync(path, 1000);
    let received = 0;
    stream.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    stream.on('error', () => undefined);
    await new Promise((resolve) => stream.once('end', resolve).once('close', resolve));
    assert.ok(received < 8_000_000, `${received}`);
    stream.destroy();
    assert.equal((await ask('GET /f')).body.length, 1000);
  });

  test('at most 16 transfers run at once, and each ends with its client', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask, agent } = await room(t);
    writeFileSync(join(root, 'f'), Buffer.alloc(8_000_000));
    const query = `?root=${encodeURIComponent(root)}`;
    const slow = Array.from({ length: 16 }, () => {
      const stream = agent.channel.open();
      stream.on('error', () => undefined);
      stream.write(`GET /agent/files/f${query} HTTP/1.1\r\n\r\n`);
      return stream;
    });
    await Promise.all(slow.map((stream) => new Promise((done) => stream.once('readable', done))));
    const refused = await ask('GET /f');
    assert.deepEqual([refused.status, refused.json.code], [503, 'OVERLOADED']);
    for (const stream of slow) stream.destroy();
    const signal = soon();
    while ((await ask('HEAD /f')).status !== 200) {
      signal.throwIfAborted();
      await pause(20);
    }
  });
});
