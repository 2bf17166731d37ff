// A body that is collected is never more than its bound, and is reported as whole only when it is.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { collect } from '../../src/lib/net/collect.ts';

const bodyOf = (...parts: string[]) => Readable.from(parts.map((part) => Buffer.from(part)));
const textOf = async (body: AsyncIterable<Uint8Array>, bytesMax: number) => {
  const { bytes, isWhole } = await collect(body, bytesMax);
  return [bytes.toString(), isWhole];
};

test('up to the bound it is whole, beyond it is truncated and the body is dropped', async () => {
  assert.deepEqual(await textOf(bodyOf(), 4), ['', true]);
  assert.deepEqual(await textOf(bodyOf('ab', 'cd'), 4), ['abcd', true]);
  const long = bodyOf('ab', 'cde', 'f');
  assert.deepEqual(await textOf(long, 4), ['abcd', false]);
  assert.ok(long.destroyed);
  assert.deepEqual(await textOf(bodyOf('ab', 'cd', 'e'), 4), ['abcd', false]);
});

test('a body that breaks rejects, unless what came will do', async () => {
  async function* broken() {
    yield Buffer.from('ab');
    throw new Error('reset');
  }
  await assert.rejects(collect(broken(), 9), /^Error: reset$/);
  const isReset = (error: unknown) => error instanceof Error && error.message === 'reset';
  const part = await collect(broken(), 9, isReset);
  assert.deepEqual(part, { bytes: Buffer.from('ab'), isWhole: false });
  await assert.rejects(
    collect(broken(), 9, () => false),
    /reset/,
  );
});
