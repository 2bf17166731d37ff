// What a reader of a workload's description relies on: JSON, or a reason; and a thread that returns, whatever
// the guest has written.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documentToJson } from '../../../../src/host/jobs/media/document.ts';

test('a document in YAML is the same in JSON', async () => {
  const text = 'openapi: 3.1.0\npaths:\n  /a: &a {get: {summary: "x: y"}}\n  /b: *a\n';
  assert.deepEqual(JSON.parse(await documentToJson({ text })), {
    openapi: '3.1.0',
    paths: { '/a': { get: { summary: 'x: y' } }, '/b': { get: { summary: 'x: y' } } },
  });
});

test('what cannot be JSON is refused, in bounded time and with a short sentence', async () => {
  const bombs = [
    '<html>',
    '- a list',
    'a: [',
    '['.repeat(100_000),
    '&a '.repeat(20_000),
    '*a '.repeat(300_000),
    `a: &a [${'x,'.repeat(20)}]\n${[...'bcdefg'].map((name, at) => `${name}: &${name} [${`*${'abcdefg'[at]},`.repeat(20)}]\n`).join('')}`,
  ];
  for (const text of bombs) {
    const startedMs = performance.now();
    await assert.rejects(documentToJson({ text }), (error: Error) => {
      assert.match(error.message, /^The document is neither JSON nor YAML/);
      assert.ok(error.message.length < 400, error.message);
      return true;
    });
    assert.ok(performance.now() - startedMs < 10_000, text.slice(0, 10));
  }
});
