// client: answers over node:http are those of fetch, which the client uses in a browser.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { type TestContext, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { createClient } from '../../src/client/client.ts';
import { ConnectionError } from '../../src/client/errors.ts';
import { nodeFetch } from '../../src/client/node-http.ts';
import { type Answer, startFakeDaemon, vmBody } from './fake-daemon.ts';

const ask = async (t: TestContext, answer: Answer) => {
  const daemon = await startFakeDaemon(t, answer);
  const init = { method: 'GET', headers: {}, signal: AbortSignal.timeout(10_000) };
  return {
    streamed: () => nodeFetch({})(daemon.url, init),
    whole: () => nodeFetch({})(daemon.url, { ...init, whole: true }),
    global: () => fetch(daemon.url, init),
  };
};

/** What a reader of the answer gets, error included. */
const readBy: Readonly<Record<string, (response: Response) => Promise<unknown>>> = {
  text: (response) => response.text(),
  json: (response) => response.json(),
  bytes: async (response) => Buffer.from(await response.arrayBuffer()).toString(),
  blob: async (response) => (await response.blob()).text(),
  clone: (response) => response.clone().text(),
  body: async (response) => {
    let text = '';
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    return text;
  },
  twice: async (response) => {
    await response.text();
    return response.text().catch((error: Error) => error.name);
  },
  'stream after text': async (response) => {
    await response.text();
    return [response.bodyUsed, response.body?.locked, response.body === null];
  },
};

const facts = ({ ok, status, redirected, bodyUsed, headers }: Response) => ({
  ok,
  status,
  redirected,
  bodyUsed,
  headers: [...headers].filter(([name]) => name !== 'date'),
});

const ANSWERS: Readonly<Record<string, Answer>> = {
  'of known length': (_, response) => response.writeHead(200, { 'x-a': ['1', '2'] }).end('{"a":1}'),
  'of an error': (_, response) => response.writeHead(404, { 'content-length': '2' }).end('{}'),
  'in chunks': (_, response) => {
    response.write('{"a"');
    response.end(':1}');
  },
  'with gzip': (_, response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"a":1}')),
  'with deflate': (_, response) =>
    response.writeHead(200, { 'content-encoding': 'deflate' }).end(deflateSync('{"a":1}')),
  'with br': (_, response) =>
    response.writeHead(200, { 'content-encoding': 'br' }).end(brotliCompressSync('{"a":1}')),
  'with an unknown coding': (_, response) =>
    response.writeHead(200, { 'content-encoding': 'toString' }).end('{"a":1}'),
};

for (const [what, answer] of Object.entries(ANSWERS)) {
  test(`an answer ${what} is what fetch makes of it`, async (t) => {
    const { streamed, whole, global } = await ask(t, answer);
    for (const node of [streamed, whole]) {
      assert.deepEqual(facts(await node()), facts(await global()));
      for (const [how, read] of Object.entries(readBy)) {
        assert.deepEqual(await read(await node()), await read(await global()), how);
      }
    }
  });
}

test('a status without a body has none', async (t) => {
  const { streamed, whole } = await ask(t, (_, response) => response.writeHead(204).end());
  for (const node of [streamed, whole]) assert.equal((await node()).body, null);
});

test('an answer that is cut off is an error, whether its length is known or not', async (t) => {
  for (const headers of [{ 'content-length': '100' }, {}]) {
    const daemon = await startFakeDaemon(t, (_, response) => {
      response.writeHead(200, headers).write(JSON.stringify(vmBody('one')).slice(0, 50));
      setTimeout(() => response.destroy(), 20);
    });
    const { vms } = createClient({ baseUrl: daemon.url, retry: { attemptsMax: 1 } });
    await assert.rejects(vms.get('one'), ConnectionError);
  }
});

test('a call that is aborted in the middle of its answer ends with the reason', async (t) => {
  for (const headers of [{ 'content-length': '100' }, {}]) {
    const abort = new AbortController();
    const reason = new Error('enough');
    const daemon = await startFakeDaemon(t, (_, response) => {
      response.writeHead(200, headers).write('[');
      setTimeout(() => abort.abort(reason), 20);
    });
    const { vms } = createClient({ baseUrl: daemon.url });
    await assert.rejects(vms.get('one', { signal: abort.signal }), reason);
  }
});

test('the answer of a guest is there with its head, before its body', async (t) => {
  let finish: () => void = () => undefined;
  const daemon = await startFakeDaemon(t, (_, response) => {
    response.writeHead(200, { 'content-length': 2 }).write('a');
    finish = () => response.end('b');
  });
  const { agent } = createClient({ baseUrl: daemon.url });
  const answer = await agent.request('one', '/v1/');
  finish();
  assert.equal(await answer.text(), 'ab');
});

test('calls leave nothing on a signal that outlives them', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) => response.end('{}'));
  const { agent, vms } = createClient({ baseUrl: daemon.url });
  const { signal } = new AbortController();
  for (let round = 0; round < 3; round += 1) {
    await vms.get('one', { signal });
    await (await agent.request('one', '/v1/', { signal })).text();
    await (await agent.request('one', '/v1/', { signal })).body?.cancel();
  }
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a redirect is an error that names its target', async (t) => {
  const daemon = await startFakeDaemon(t, (_, response) =>
    response.writeHead(301, { location: 'https://volant.example/' }).end(),
  );
  const { vms } = createClient({ baseUrl: daemon.url });
  const message = 'The answer is 301, a redirect to https://volant.example/: use that address';
  await assert.rejects(vms.get('one'), { status: 301, message });
});
