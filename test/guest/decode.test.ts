// What a guest relies on in its agent's decoders: a good manifest arrives as it was sent, anything else
// is refused, and no input makes them touch memory that is not theirs.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, suite, test } from 'node:test';
import { constants, deflateRawSync, gzipSync } from 'node:zlib';
import { buildDecoder, decodeWith } from './programs.ts';

const GUNZIP_BYTES_MAX = 1024 * 1024;

let decoder = '';

/** Bytes that look random and are the same in every run. */
function noise(seed: string, bytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}

const decode = (what: string, inputs: readonly (Buffer | string)[]) =>
  decodeWith(decoder, what, inputs);

const texts = (results: readonly (Buffer | null)[]) => results.map((result) => result?.toString());

/** The same bytes with one of them changed. */
function changed(bytes: Buffer, at: number, by: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ by;
  return copy;
}

suite('decoders of the agent', () => {
  before(() => {
    decoder = buildDecoder();
  });

  test('gzip: what any level and strategy of zlib packs is unpacked', () => {
    const words = JSON.stringify({
      words: noise('words', 9_000)
        .toString('hex')
        .match(/.{1,7}/g),
    });
    const originals = [
      Buffer.alloc(0),
      Buffer.from('{}'),
      Buffer.from(words),
      Buffer.alloc(300_000, 'abc'),
      noise('incompressible', 100_000),
      Buffer.alloc(GUNZIP_BYTES_MAX, 7),
    ];
    const options = [0, 1, 6, 9].flatMap((level) =>
      [constants.Z_DEFAULT_STRATEGY, constants.Z_FIXED, constants.Z_HUFFMAN_ONLY].map(
        (strategy) => ({ level, strategy }),
      ),
    );
    const packed = originals.flatMap((bytes) => options.map((option) => gzipSync(bytes, option)));
    const unpacked = decode('gunzip', packed);
    for (const [index, result] of unpacked.entries()) {
      const original = originals[Math.floor(index / options.length)];
      assert.ok(original && result?.equals(original), `case ${index}`);
    }
  });

  test('gzip: a header with extra field, name, comment and checksum is skipped', () => {
    const plain = gzipSync('with a header');
    const header = Buffer.from(plain.subarray(0, 10));
    header[3] = 2 | 4 | 8 | 16;
    const optional = Buffer.from('\x03\x00abcname\0comment\0\x12\x34', 'latin1');
    const whole = Buffer.concat([header, optional, plain.subarray(10)]);
    const cut = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
    const [good, ...bad] = decode('gunzip', [whole, ...cut]);
    assert.equal(good?.toString(), 'with a header');
    assert.ok(bad.every((result) => result === null));
  });

  test('gzip: what is truncated, changed, too large or no gzip is refused', () => {
    const original = JSON.stringify({ text: 'a manifest '.repeat(40), more: 'and more'.repeat(9) });
    const packed = gzipSync(original);
    const cut = Array.from({ length: packed.length }, (_, length) => packed.subarray(0, length));
    const bombs = [gzipSync(Buffer.alloc(GUNZIP_BYTES_MAX + 1)), gzipSync(Buffer.alloc(64 << 20))];
    const wrongMethod = changed(packed, 2, 1);
    for (const result of decode('gunzip', [...cut, ...bombs, wrongMethod])) {
      assert.equal(result, null);
    }
    // Ten bytes of header and four of length do not belong to the content.
    const places = Array.from({ length: packed.length - 14 }, (_, index) => index + 10);
    const flipped = places.flatMap((at) => [1, 8, 128].map((by) => changed(packed, at, by)));
    for (const result of decode('gunzip', flipped)) {
      assert.ok(result === null || result.toString() === original);
    }
  });

  test('gzip: noise in the place of the content is refused', () => {
    const header = gzipSync('').subarray(0, 10);
    const inputs = Array.from({ length: 3000 }, (_, index) => {
      // Each kind of block is begun.
      const body = noise(`block ${index}`, 20 + (index % 400));
      body[0] = ((body[0] ?? 0) & 0xf8) | (index % 8);
      return Buffer.concat([header, body]);
    });
    assert.ok(decode('gunzip', inputs).every((result) => result === null));
    // A stream that is good, with a distance that reaches behind its beginning.
    const dictionary = Buffer.from('what comes before');
    const content = deflateRawSync('what comes before', { dictionary });
    assert.deepEqual(decode('gunzip', [Buffer.concat([header, content, Buffer.alloc(8)])]), [null]);
  });

  test('base64url: what Node writes is read; padding, spaces and other digits are refused', () => {
    const originals = Array.from({ length: 70 }, (_, length) => noise('base64', length));
    const read = decode(
      'base64url',
      originals.map((bytes) => bytes.toString('base64url')),
    );
    for (const [index, result] of read.entries()) assert.deepEqual(result, originals[index]);
    const bad = ['A', 'AAAAA', 'AA==', 'AA+A', 'AA/A', 'A A', 'AA\n', 'ÄÄ', '"AAA"'];
    assert.ok(decode('base64url', bad).every((result) => result === null));
  });

  test('JSON: what JSON.stringify writes is read', () => {
    const originals = [
      ...[null, true, false, 0, -1, 0.5, 1e21, -2.5e-7, '', 'text', [], {}, [[]], [{}, 1]],
      { entrypoint: ['/bin/sh', '-c', ' echo "$A" \\ \t\n '], env: { A: 'ä€😀\u0001\u007f' } },
      { nested: { deeper: [1, { deepest: [null, true, { end: 'x' }] }] }, '': 'empty name' },
      Array.from({ length: 5000 }, (_, index) => index),
    ];
    const written = originals.flatMap((value) => [
      JSON.stringify(value),
      JSON.stringify(value, null, '\t\r'),
      JSON.stringify(value).replace(/[^\x20-\x7e]/g, escaped),
    ]);
    for (const [index, text] of texts(decode('json', written)).entries()) {
      assert.deepEqual(JSON.parse(text ?? '"refused"'), originals[Math.floor(index / 3)]);
    }
  });

  test('JSON: what JSON.parse refuses is refused, and what would end a text or the stack', () => {
    const good =
      '{"workload":{"entrypoint":["/bin/\\u0061","\\ud83d\\ude00"],"n":[1,-2.5e3,true,null]}}';
    const cut = Array.from({ length: good.length }, (_, length) => good.slice(0, length));
    const bad = [
      ...['01', '1.', '.5', '+1', '-', '1e', '1e+', '0x10', '-inf', 'nan', 'Infinity', '1 2'],
      ...['[1,]', '[,1]', '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', "'a'", '[1}', '{"a":1]', '//'],
      ...['"\n"', '"\t"', '"\\x"', '"\\u12"', '"\\u12g4"', '"\\ud800"', '"\\ud800\\u0041"'],
      ...['"\\udc00"', '"\\', '"\\u', 'tru', 'nul', 'truefalse', '[', ']', ''],
    ];
    for (const text of [...cut, ...bad]) {
      // One that is a whole surrogate of its own passes JSON.parse; UTF-8 has no place for it.
      if (!/\\u[dD]/.test(text)) assert.throws(() => JSON.parse(text), SyntaxError, text);
    }
    const hostile = [
      '"a\\u0000b"',
      '['.repeat(100_000),
      '{"a":'.repeat(5000),
      `[${'1,'.repeat(30_000)}1]`,
    ];
    for (const [index, result] of decode('json', [...cut, ...bad, ...hostile]).entries()) {
      assert.equal(result, null, [...cut, ...bad, ...hostile][index]?.slice(0, 40));
    }
  });

  test('JSON: one changed byte is refused or read like JSON.parse reads it', () => {
    const good = '{"a":["x\\n\\u00e9",1.5e2,-0],"b":{"c":null,"d":true}}';
    const inputs = [...good].flatMap((_, at) =>
      [...'"\\{}[],:0e-u \u0001'].map((by) => good.slice(0, at) + by + good.slice(at + 1)),
    );
    for (const [index, result] of texts(decode('json', inputs)).entries()) {
      const input = inputs[index] ?? '';
      const expected = parsed(input);
      if (result === undefined) assert.equal(expected, undefined, input);
      else assert.deepEqual(JSON.parse(result), expected, input);
    }
  });

  test('command line: the first value of a key that is whole; quoting means nothing', () => {
    const line = 'quiet ip=10.0.0.2::10.0.0.1\tvolant.manifest=AAA= volant.manifest=BBB a= ab=c\n';
    const cases: [line: string, key: string, value: string | undefined][] = [
      [line, 'ip', '10.0.0.2::10.0.0.1'],
      [line, 'volant.manifest', 'AAA='],
      [line, 'a', ''],
      [line, 'ab', 'c'],
      [line, 'quiet', undefined],
      [line, 'manifest', undefined],
      [line, 'volant.manifest=AAA', ''],
      ['', 'a', undefined],
      [' \n ', 'a', undefined],
      ['a=1', 'a', '1'],
      ['\u0001 a=1', 'a', '1'],
      [`x=${'y'.repeat(70_000)} a=1`, 'a', '1'],
    ];
    const results = texts(
      decode(
        'cmdline',
        cases.map(([given, key]) => `${given}\0${key}`),
      ),
    );
    for (const [index, [given, key, value]] of cases.entries()) {
      assert.equal(results[index], value, `${key} of ${given.slice(0, 40)}`);
    }
    const random = Array.from({ length: 500 }, (_, index) => {
      const text = noise(`cmdline ${index}`, 80).toString('latin1').replaceAll('\0', ' ');
      return Buffer.concat([Buffer.from(text, 'latin1'), Buffer.from('\0volant.manifest')]);
    });
    assert.ok(decode('cmdline', random).every((result) => result === null));
  });
});

function escaped(character: string): string {
  const code = character.charCodeAt(0).toString(16).padStart(4, '0');
  return /[\t\r\n ]/.test(character) ? character : `\\u${code}`;
}

/** undefined for what is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
