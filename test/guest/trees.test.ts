// What the daemon relies on for trees of files: archives that other programs read, and archives of others, hostile ones too, that
// become files below one directory and nowhere else.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { describeTree } from '../helpers/tree.ts';
import { askFiles, type FileAnswer, type FileRequest } from './ask-files.ts';
import { shareHostAgent, temporaryDirectory } from './programs.ts';
import { serveAgent } from './served-agent.ts';

let program = '';

async function room(t: TestContext) {
  const agent = await serveAgent(t, program);
  const root = temporaryDirectory(t);
  const ask = (target: string, more?: FileRequest): Promise<FileAnswer> => {
    const join = target.includes('?') ? '&' : '?';
    return askFiles(agent.channel, `${target}${join}root=${encodeURIComponent(root)}`, more);
  };
  return { root, ask };
}

const tar = (args: readonly string[], input?: Buffer) =>
  execFileSync('tar', args, { maxBuffer: 64 * 1024 ** 2, ...(input ? { input } : {}) });

/** One entry as ustar has it, with nothing checked. */
function entry(fields: {
  name: string;
  type?: string;
  target?: string;
  content?: string;
  size?: number;
}): Buffer {
  const { name, type = '0', target = '', content = '', size = content.length } = fields;
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(target, 157, 100);
  header.write('ustar\0' + '00', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padded = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  padded.write(content);
  return Buffer.concat([header, padded]);
}

const END = Buffer.alloc(1024);
const code = ({ status, json }: FileAnswer) => `${status} ${json.code}`;

suite('trees of files of a guest', () => {
  shareHostAgent((path) => {
    program = path;
  });

  test('a tree goes out and returns as it was, and tar reads it', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    const tree = join(root, 'tree');
    mkdirSync(join(tree, 'empty'), { recursive: true });
    const long = `${'d'.repeat(120)}/${'f'.repeat(200)}`;
    mkdirSync(join(tree, 'd'.repeat(120)));
    writeFileSync(join(tree, long), 'long');
    writeFileSync(join(tree, 'é'), 'accent');
    writeFileSync(join(tree, 'large'), randomBytes(1_000_001));
    writeFileSync(join(tree, 'script'), '#!/bin/sh\n', { mode: 0o755 });
    linkSync(join(tree, 'script'), join(tree, 'same'));
    symlinkSync('../outside', join(tree, 'link'));
    symlinkSync('l'.repeat(300), join(tree, 'long-link'));
    execFileSync('mkfifo', [join(tree, 'fifo')]);
    execFileSync('chown', ['-R', '3000000:7', join(tree, 'empty')]);
    utimesSync(join(tree, 'script'), 1e9, 1e9 + 0.123);
    utimesSync(join(tree, 'empty'), 1e9, -5);
    utimesSync(tree, 1e9, 1e9);
    const before = describeTree(tree, 1);
    const out = await ask('GET /tree?format=tar');
    assert.equal(out.headers['content-type'], 'application/x-tar');
    const unpacked = temporaryDirectory(t);
    tar(['-xpf', '-', '-C', unpacked, '--same-owner'], out.body);
    assert.deepEqual(describeTree(join(unpacked, 'tree'), 1), before);
    assert.equal(statSync(join(unpacked, 'tree/same')).nlink, 2);
    assert.equal(statSync(join(unpacked, 'tree')).mtimeMs, 1e12);
    const back = await ask('PUT /back?format=tar&keep_owners=true&parents=true', {
      body: out.body,
    });
    assert.equal(back.status, 200, back.text);
    assert.deepEqual(describeTree(join(root, 'back/tree'), 1), before);
    assert.equal(statSync(join(root, 'back/tree/same')).nlink, 2);
    assert.equal(back.json.unpacked.entries, before.length + 1);
  });

  test('20,000 small files pass both ways', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    const tree = join(root, 'tree');
    for (let folder = 0; folder < 200; folder += 1) {
      mkdirSync(join(tree, String(folder)), { recursive: true });
      for (let file = 0; file < 100; file += 1)
        writeFileSync(join(tree, `${folder}/${file}`), `${folder} ${file} `.repeat(file));
    }
    const before = describeTree(tree, 1);
    const out = await ask('GET /tree', { headers: { Accept: 'application/x-tar' } });
    const headers = { 'Content-Type': 'application/x-tar' };
    const { json } = await ask('PUT /?parents=true', { headers, body: Buffer.alloc(1024) });
    assert.deepEqual(json.unpacked, { entries: 0, bytes: 0 });
    mkdirSync(join(root, 'copy'));
    const halves = [out.body.subarray(0, 100_001), out.body.subarray(100_001)];
    const put = await ask('PUT /copy', { headers, chunks: halves });
    assert.equal(put.json.unpacked.entries, 20_201, put.text);
    assert.deepEqual(describeTree(join(root, 'copy/tree'), 1), before);
  });

  test('archives of GNU tar are read in each of its formats', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    const source = temporaryDirectory(t);
    mkdirSync(join(source, 'tree/sub'), { recursive: true });
    writeFileSync(join(source, 'tree/sub', 'n'.repeat(90)), 'content');
    symlinkSync('t'.repeat(99), join(source, 'tree/link'));
    writeFileSync(join(source, 'tree/time'), '');
    utimesSync(join(source, 'tree/time'), 1e9, 1e9);
    for (const format of ['v7', 'ustar', 'gnu', 'oldgnu', 'pax']) {
      const body = tar([`--format=${format}`, '-cf', '-', '-C', source, 'tree']);
      const put = await ask(`PUT /${format}?format=tar&parents=true`, { body });
      assert.equal(put.status, 200, put.text);
      const names = describeTree(join(root, format, 'tree'), 1).map((line) => line.split(' ')[0]);
      assert.deepEqual(
        names,
        describeTree(join(source, 'tree'), 1).map((line) => line.split(' ')[0]),
      );
      assert.equal(statSync(join(root, format, 'tree/time')).mtimeMs, 1e12);
    }
    const name = `${'a'.repeat(90)}/${'b'.repeat(90)}/${'c'.repeat(90)}`;
    mkdirSync(join(source, name), { recursive: true });
    for (const format of ['gnu', 'oldgnu', 'pax']) {
      const body = tar([`--format=${format}`, '-cf', '-', '-C', source, 'a'.repeat(90)]);
      assert.equal((await ask(`PUT /${format}?format=tar`, { body })).status, 200);
      assert.ok(statSync(join(root, format, name)).isDirectory());
    }
  });

  test('a file without directory, and other names for the first entry', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    mkdirSync(join(root, 'a/b'), { recursive: true });
    writeFileSync(join(root, 'a/b/f'), 'x');
    const list = async (target: string) =>
      tar(['-tf', '-'], (await ask(target)).body)
        .toString()
        .trim()
        .split('\n');
    assert.deepEqual(await list('GET /a/b/f?format=tar'), ['f']);
    assert.deepEqual(await list('GET /a/b?format=tar&as=new'), ['new/', 'new/f']);
    assert.deepEqual(await list('GET /a/b?format=tar&as=.'), ['./', './f']);
    assert.deepEqual(await list('GET /?format=tar'), ['./', './a/', './a/b/', './a/b/f']);
    assert.equal(code(await ask('GET /none?format=tar')), '404 FILE_NOT_FOUND');
  });

  test('a large sparse file has its whole size', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    writeFileSync(join(root, 'f'), 'start');
    truncateSync(join(root, 'f'), 20_000_000);
    const { body } = await ask('GET /f?format=tar');
    assert.match(tar(['-tvf', '-'], body).toString(), / 20000000 /);
  });

  test('an archive that leads out is refused, and nothing is written outside', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    const outside = temporaryDirectory(t);
    writeFileSync(join(outside, 'secret'), 'secret');
    mkdirSync(join(root, 'in'));
    symlinkSync(outside, join(root, 'in/there'));
    symlinkSync('../../..', join(root, 'in/up'));
    const hostile: [string, Buffer[]][] = [
      ['400 TAR_INVALID', [entry({ name: '../evil', content: 'x' })]],
      ['400 TAR_INVALID', [entry({ name: 'a/../../evil', content: 'x' })]],
      ['400 TAR_INVALID', [entry({ name: 'l', type: '1', target: '../../etc/passwd' })]],
      ['400 FILE_PATH_INVALID', [entry({ name: 'there/evil', content: 'x' })]],
      ['400 FILE_PATH_INVALID', [entry({ name: 'up/evil', content: 'x' })]],
      ['400 FILE_PATH_INVALID', [entry({ name: 'there/', type: '5' })]],
      [
        '400 FILE_PATH_INVALID',
        [entry({ name: 'l', type: '2', target: outside }), entry({ name: 'l/evil', content: 'x' })],
      ],
      [
        '400 FILE_PATH_INVALID',
        [
          entry({ name: 'd/', type: '5' }),
          entry({ name: 'd/first', content: 'x' }),
          entry({ name: 'd/l', type: '2', target: '../../..' }),
          entry({ name: 'd/l/evil', content: 'x' }),
        ],
      ],
      ['404 FILE_NOT_FOUND', [entry({ name: 'h', type: '1', target: `${outside}/secret` })]],
      ['400 FILE_PATH_INVALID', [entry({ name: 'h', type: '1', target: 'there/secret' })]],
    ];
    for (const [refusal, entries] of hostile) {
      const answer = await ask('PUT /in?format=tar', { body: Buffer.concat([...entries, END]) });
      assert.equal(code(answer), refusal, answer.text);
    }
    // Absolute names count from the directory.
    const absolute = entry({ name: '/abs', content: 'x' });
    assert.equal((await ask('PUT /in?format=tar', { body: absolute })).status, 200);
    assert.equal(readFileSync(join(root, 'in/abs'), 'utf8'), 'x');
    // A file in the place of a link replaces the link.
    const instead = entry({ name: 'there', content: 'file' });
    assert.equal((await ask('PUT /in?format=tar', { body: instead })).status, 200);
    assert.ok(lstatSync(join(root, 'in/there')).isFile());
    assert.deepEqual(readdirSync(outside), ['secret']);
    assert.deepEqual(readdirSync(root), ['in']);
  });

  test('what is no archive, or is truncated, is refused with the reason', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    const file = entry({ name: 'f', content: 'x'.repeat(2000) });
    const bad: [RegExp, Buffer][] = [
      [/wrong sum/, Buffer.alloc(1024, 'no archive ')],
      [/in a header/, file.subarray(0, 300)],
      [/middle of a file/, file.subarray(0, 1200)],
      [/extended header is too long/, entry({ name: 'x', type: 'x', size: 10 ** 9 })],
      [
        /belongs to no entry/,
        Buffer.concat([entry({ name: 'x', type: 'x', content: '11 path=a\n' }), END]),
      ],
      [/malformed/, Buffer.concat([entry({ name: 'x', type: 'x', content: '99 path=a\n' }), file])],
      [
        /sparse/,
        Buffer.concat([entry({ name: 'x', type: 'x', content: '22 GNU.sparse.major=1\n' }), file]),
      ],
      [/unknown type/, entry({ name: 'm', type: 'M' })],
    ];
    for (const [reason, body] of bad) {
      const answer = await ask('PUT /?format=tar', { body });
      assert.equal(code(answer), '400 TAR_INVALID', answer.text);
      assert.match(answer.json.error, reason);
    }
    assert.deepEqual(readdirSync(root), []);
  });

  test('without owners of its own an archive makes no program that runs as another user', async (t) => {
    if (!requireCapability(t, 'root')) return;
    const { root, ask } = await room(t);
    const source = temporaryDirectory(t);
    writeFileSync(join(source, 'f'), 'x');
    execFileSync('chown', ['5:6', join(source, 'f')]);
    execFileSync('chmod', ['4755', join(source, 'f')]);
    const body = tar(['-cf', '-', '-C', source, 'f']);
    await ask('PUT /?format=tar', { body });
    const facts = () => statSync(join(root, 'f'));
    assert.deepEqual([facts().mode & 0o7777, facts().uid], [0o755, 0]);
    await ask('PUT /?format=tar&owner=8:9', { body });
    assert.deepEqual([facts().uid, facts().gid], [8, 9]);
    await ask('PUT /?format=tar&keep_owners=true', { body });
    assert.deepEqual([facts().mode & 0o7777, facts().uid, facts().gid], [0o4755, 5, 6]);
  });
});
