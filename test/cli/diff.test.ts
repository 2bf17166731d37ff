// cli: diff shows what apply would change, and its exit status says whether anything would.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { unifiedDiff } from '../../src/cli/apply/line-diff.ts';
import { runCli } from '../../src/cli/program.ts';
import { sendJson, startFakeDaemon } from '../client/fake-daemon.ts';
import { directoryWith, volar } from './volar.ts';

const config = {
  plugin: 'hello',
  runtime: 'hello',
  resources: { cpu_cores: 1, memory_mb: 128 },
  metadata: { team: 'blue' },
};

const startApi = (t: Parameters<typeof startFakeDaemon>[0]) =>
  startFakeDaemon(t, ({ method, path, body }, response) => {
    if (method === 'GET' && path === '/api/v1/vms/one/config') {
      return sendJson(response, 200, { version: 3, config });
    }
    if (method === 'GET') return sendJson(response, 404, { error: 'none', code: 'NOT_FOUND' });
    if (!path.endsWith('?dry_run=true')) return sendJson(response, 500, { error: 'a change' });
    const { resources, ...patch } = JSON.parse(body);
    const merged = { ...config, ...patch, resources: { ...config.resources, ...resources } };
    return sendJson(response, 200, { dry_run: true, actions: [], config: merged });
  });

const CHANGED = 'kind: VM\nname: one\nmemory_mb: 256\n';

test('a changed object is a unified diff of YAML, and the status is 1', async (t) => {
  const daemon = await startApi(t);
  const { status, stdout, stderr } = await volar(t, daemon.url, ['diff', '-f', '-'], CHANGED);
  assert.equal(status, 1);
  assert.equal(stderr, '');
  assert.equal(
    stdout,
    `--- VM one (daemon)
+++ VM one (standard input:1)
@@ -3,5 +3,5 @@
 plugin: hello
 resources:
   cpu_cores: 1
-  memory_mb: 128
+  memory_mb: 256
 runtime: hello
`,
  );
});

test('a new object has only lines that are added', async (t) => {
  const daemon = await startApi(t);
  const text = 'kind: VM\nname: two\nplugin: hello\n';
  const { status, stdout } = await volar(t, daemon.url, ['diff', '-f', '-'], text);
  assert.equal(status, 1);
  assert.match(stdout, /^--- \/dev\/null\n\+{3} VM two .*\n@@ -0,0 \+1,\d+ @@\n(\+.*\n)+$/);
});

test('no difference: nothing is printed, and the status is 0', async (t) => {
  const daemon = await startApi(t);
  const text = 'kind: VM\nname: one\nmemory_mb: 128\n';
  assert.deepEqual(await volar(t, daemon.url, ['diff', '-f', '-'], text), {
    status: 0,
    stdout: '',
    stderr: '',
  });
});

test('errors are 2, whatever they are', async (t) => {
  const daemon = await startApi(t);
  const wrong = await volar(t, daemon.url, ['diff', '-f', '-'], 'kind: Pod\nname: x\n');
  assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
  assert.match(wrong.stderr, /standard input:1: document 1: kind must be one of/);
  const none = await volar(t, 'http://127.0.0.1:2', ['diff', '-f', '-'], CHANGED);
  assert.equal(none.status, 2);
  assert.match(none.stderr, /No daemon answers/);
  assert.equal((await volar(t, daemon.url, ['diff', '-f', '/nonexistent'])).status, 2);
  assert.equal((await volar(t, daemon.url, ['diff'])).status, 2);
});

test('--json has the result, the members and the diff of each object', async (t) => {
  const daemon = await startApi(t);
  const words = ['--json', 'diff', '-f', '-'];
  const { status, stdout } = await volar(t, daemon.url, words, CHANGED);
  const { diff, ...rest } = JSON.parse(stdout);
  assert.deepEqual(
    [status, rest],
    [1, { kind: 'VM', name: 'one', result: 'changed', changes: ['resources.memory_mb'] }],
  );
  assert.match(diff, /\n\+ {2}memory_mb: 256\n/);
});

test('colours are for terminals that want them', async (t) => {
  const daemon = await startApi(t);
  const directory = directoryWith(t, { 'one.yaml': CHANGED });
  const print = async (environment: Record<string, string>) => {
    const terminal = () => Object.assign(new PassThrough(), { isTTY: true });
    const streams = { stdin: terminal(), stdout: terminal(), stderr: terminal() };
    const all = { VOLANT_API_BASE: daemon.url, ...environment };
    assert.equal(await runCli(['diff', '-f', directory], streams, all), 1);
    return String(streams.stdout.read());
  };
  assert.ok((await print({})).includes('\x1b[32m+  memory_mb: 256\x1b[0m\n'));
  assert.ok((await print({ NO_COLOR: '1' })).includes('\n+  memory_mb: 256\n'));
});

/** The text after a diff is applied to the text before it, as patch(1) does. */
function patched(before: readonly string[], diff: readonly string[]): string[] {
  const after: string[] = [];
  let at = 0;
  for (const line of diff) {
    const [, first, count] = /^@@ -(\d+)(?:,(\d+))? /.exec(line) ?? [];
    if (first !== undefined) {
      const begin = Number(first) - (count === '0' ? 0 : 1);
      after.push(...before.slice(at, begin));
      at = begin;
      continue;
    }
    const text = line.slice(1);
    if (line[0] !== '+') {
      assert.equal(before[at], text);
      at += 1;
    }
    if (line[0] !== '-') after.push(text);
  }
  return [...after, ...before.slice(at)];
}

test('a diff turns the one text into the other, whatever they are', () => {
  const texts = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 40 });
  fc.assert(
    fc.property(texts, texts, (before, after) => {
      assert.deepEqual(patched(before, unifiedDiff(before, after)), after);
    }),
  );
  const numbers = (from: number) => Array.from({ length: 2_000 }, (_, at) => `${from + at}`);
  const [one, other] = [numbers(0), numbers(10_000)];
  assert.deepEqual(patched(one, unifiedDiff(one, other)), other);
  assert.deepEqual(unifiedDiff(one, one), []);
});
