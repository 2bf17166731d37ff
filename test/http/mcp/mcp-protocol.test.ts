// http, mcp: the two generations of the Model Context Protocol on the wire: the HTTP status of answers, required headers,
// refusals. mcp-client.test.ts uses the official clients.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { ask, type RequestOptions, startServer, type TestServer } from '../harness.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are compared, whatever they hold
type Json = any;

const TARGET = 'POST /api/v1/mcp';
const VERSION = '2026-07-28';
const META = {
  'io.modelcontextprotocol/protocolVersion': VERSION,
  'io.modelcontextprotocol/clientCapabilities': {},
};

async function send(server: TestServer, body: unknown, headers: RequestOptions['headers'] = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await ask(server, TARGET, { body: text, headers });
  return { ...answer, body: (answer.text === '' ? undefined : JSON.parse(answer.text)) as Json };
}

const rpc = (method: string, params: object = {}, id: unknown = 1) => ({
  jsonrpc: '2.0',
  id,
  method,
  params,
});

/** A whole request of the current revision; `headers` replaces some, and undefined leaves one out. */
function modern(
  server: TestServer,
  method: string,
  params: Json = {},
  headers: Readonly<Record<string, string | undefined>> = {},
) {
  const named = params.name ?? params.uri;
  const all: Record<string, string | undefined> = {
    'MCP-Protocol-Version': VERSION,
    'Mcp-Method': method,
    'Mcp-Name': named,
    ...headers,
  };
  const given = Object.entries(all).filter((entry): entry is [string, string] => !!entry[1]);
  return send(server, rpc(method, { _meta: META, ...params }), Object.fromEntries(given));
}

suite('revisions with a handshake', () => {
  test('initialize agrees on a revision that both know', async (t) => {
    const server = await startServer(t);
    for (const [asked, agreed] of [
      ['2025-11-25', '2025-11-25'],
      ['2025-03-26', '2025-03-26'],
      ['2024-11-05', '2024-11-05'],
      ['1999-01-01', '2025-11-25'],
    ]) {
      const params = { protocolVersion: asked, capabilities: {}, clientInfo: {} };
      const { status, body, headers } = await send(server, rpc('initialize', params));
      assert.equal(status, 200);
      assert.equal(body.id, 1);
      assert.equal(body.result.protocolVersion, agreed);
      assert.deepEqual(body.result.capabilities, { tools: {}, resources: {} });
      assert.equal(headers['mcp-session-id'], undefined);
      assert.equal(headers['content-type'], 'application/json');
    }
  });

  test('notifications and answers are taken and not answered', async (t) => {
    const server = await startServer(t);
    for (const message of [
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      { jsonrpc: '2.0', method: 'notifications/of-another-time' },
      { jsonrpc: '2.0', id: 3, result: {} },
    ]) {
      const { status, text } = await send(server, message);
      assert.equal(status, 202);
      assert.equal(text, '');
    }
  });

  test('errors are answers, with the id of their request', async (t) => {
    const server = await startServer(t);
    const cases: [Json, number, number][] = [
      [rpc('prompts/list'), 200, -32601],
      [rpc('constructor'), 200, -32601],
      [rpc('server/discover'), 200, -32601],
      [rpc('tools/call', { name: 'volant.vms.fly' }), 200, -32602],
      [rpc('tools/call'), 200, -32602],
      [rpc('tools/list', { cursor: 'x' }), 200, -32602],
      [rpc('resources/list', { cursor: 'x' }), 200, -32602],
      [rpc('resources/read', { uri: 'vm://none' }), 200, -32002],
      [rpc('resources/read', { uri: 'file:///etc/passwd' }), 200, -32002],
      [{ ...rpc('ping'), params: [] }, 400, -32600],
      [{ jsonrpc: '2.0', id: 1 }, 400, -32600],
    ];
    for (const [message, status, code] of cases) {
      const answer = await send(server, message);
      assert.equal(answer.status, status, JSON.stringify(message));
      assert.equal(answer.body.error.code, code, JSON.stringify(message));
      assert.equal(answer.body.id, 1, JSON.stringify(message));
    }
    for (const message of [
      rpc('ping', {}, null),
      rpc('ping', {}, 1.5),
      { jsonrpc: '1.0', id: 1 },
    ]) {
      const { status, body } = await send(server, message);
      assert.equal(status, 400);
      assert.equal(body.error.code, -32600);
      assert.ok(!('id' in body));
    }
  });

  test('only revision 2025-03-26 has batches, and they have a bound', async (t) => {
    const server = await startServer(t);
    const batch = [
      rpc('ping', {}, 'a'),
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      rpc('nothing', {}, 'b'),
      7,
    ];
    const { status, body } = await send(server, batch, { 'MCP-Protocol-Version': '2025-03-26' });
    assert.equal(status, 200);
    assert.deepEqual(
      body.map(({ id, result, error }: Json) => [id, result, error?.code]),
      [
        ['a', {}, undefined],
        ['b', undefined, -32601],
        [undefined, undefined, -32600],
      ],
    );
    const quiet = await send(server, [{ jsonrpc: '2.0', method: 'notifications/initialized' }]);
    assert.equal(quiet.status, 202);
    const many = Array.from({ length: LIMITS.mcpBatchMax + 1 }, (_, id) => rpc('ping', {}, id));
    for (const [wrong, version] of [
      [batch, '2025-06-18'],
      [batch, VERSION],
      [[], ''],
      [many, ''],
    ] as const) {
      const headers = version === '' ? {} : { 'MCP-Protocol-Version': version };
      const refused = await send(server, wrong, headers);
      assert.equal(refused.status, 400);
      assert.equal(refused.body.error.code, -32600);
    }
    assert.equal((await send(server, many.slice(1))).body.length, LIMITS.mcpBatchMax);
  });
});

suite('revision 2026-07-28', () => {
  test('server/discover lists what there is', async (t) => {
    const server = await startServer(t);
    const { status, body } = await modern(server, 'server/discover');
    assert.equal(status, 200);
    const { result } = body;
    assert.equal(result.resultType, 'complete');
    assert.equal(result.supportedVersions[0], VERSION);
    assert.deepEqual(result.capabilities, {
      tools: {},
      resources: { subscribe: true, listChanged: true },
    });
    assert.ok(result.ttlMs > 0);
    assert.equal(result.cacheScope, 'public');
    assert.equal(result._meta['io.modelcontextprotocol/serverInfo'].name, 'volant');
  });

  test('every result says that it is complete, and how long it may be kept', async (t) => {
    const server = await startServer(t);
    const cases: [string, object, number | undefined][] = [
      ['tools/list', {}, 300_000],
      ['resources/templates/list', {}, 300_000],
      ['resources/list', {}, 0],
      ['resources/read', { uri: 'volant://events' }, 0],
      ['tools/call', { name: 'volant.vms.list' }, undefined],
    ];
    for (const [method, params, ttlMs] of cases) {
      const { status, body } = await modern(server, method, params);
      assert.equal(status, 200, method);
      assert.equal(body.result.resultType, 'complete', method);
      assert.equal(body.result.ttlMs, ttlMs, method);
    }
  });

  test('what the headers say must be what the body says', async (t) => {
    const server = await startServer(t);
    const call = { name: 'volant.vms.list' };
    const cases: [string, Json, Record<string, string | undefined>][] = [
      ['tools/list', {}, { 'MCP-Protocol-Version': undefined }],
      ['tools/list', {}, { 'MCP-Protocol-Version': '2025-11-25' }],
      ['tools/list', {}, { 'Mcp-Method': undefined }],
      ['tools/list', {}, { 'Mcp-Method': 'tools/call' }],
      ['tools/call', call, { 'Mcp-Name': undefined }],
      ['tools/call', call, { 'Mcp-Name': 'volant.vms.delete' }],
      ['resources/read', { uri: 'vm://one' }, { 'Mcp-Name': 'vm://two' }],
    ];
    for (const [method, params, headers] of cases) {
      const { status, body } = await modern(server, method, params, headers);
      assert.equal(status, 400, JSON.stringify(headers));
      assert.equal(body.error.code, -32020, JSON.stringify(headers));
      assert.equal(body.id, 1);
    }
    const encoded = `=?base64?${Buffer.from(call.name).toString('base64')}?=`;
    assert.equal((await modern(server, 'tools/call', call, { 'Mcp-Name': encoded })).status, 200);
  });

  test('_meta must name the revision and the capabilities', async (t) => {
    const server = await startServer(t);
    const [version, capabilities] = Object.entries(META).map((entry) =>
      Object.fromEntries([entry]),
    );
    for (const _meta of [undefined, {}, version, capabilities, { ...META, ...{ [KEY]: 7 } }]) {
      const { status, body } = await modern(server, 'tools/list', { _meta });
      assert.equal(status, 400, JSON.stringify(_meta));
      assert.equal(body.error.code, -32602, JSON.stringify(_meta));
    }
  });

  test('a revision that is not known is refused with those that are', async (t) => {
    const server = await startServer(t);
    const wanted = '1900-01-01';
    const _meta = { ...META, [KEY]: wanted };
    const headers = { 'MCP-Protocol-Version': wanted };
    const asked = [
      await modern(server, 'tools/list', { _meta }, headers),
      await send(server, rpc('tools/list'), headers),
    ];
    for (const { status, body } of asked) {
      assert.equal(status, 400);
      assert.equal(body.error.code, -32022);
      assert.equal(body.error.data.requested, wanted);
      assert.ok(body.error.data.supported.includes(VERSION));
    }
  });

  test('methods that are not there are 404, things that are not there are wrong parameters', async (t) => {
    const server = await startServer(t);
    for (const method of ['ping', 'initialize', 'prompts/list', 'logging/setLevel']) {
      const { status, body } = await modern(server, method);
      assert.equal(status, 404, method);
      assert.equal(body.error.code, -32601, method);
    }
    const read = await modern(server, 'resources/read', { uri: 'vm://none' });
    assert.equal(read.status, 200);
    assert.equal(read.body.error.code, -32602);
    const call = await modern(server, 'tools/call', { name: 'volant.vms.fly' });
    assert.equal(call.body.error.code, -32602);
  });

  test('a tool refuses arguments that it does not know, at any depth', async (t) => {
    const server = await startServer(t);
    for (const [given, path] of [
      [{ name: 'a', plugin: 'hello', memory: 5 }, 'memory'],
      [{ name: 'a', plugin: 'hello', config: { expse: [] } }, 'config.expse'],
    ] as const) {
      const params = { name: 'volant.vms.create', arguments: given };
      const { result } = (await modern(server, 'tools/call', params)).body;
      assert.equal(result.isError, true);
      assert.match(result.content[0].text, new RegExp(`${path} is not known`));
      assert.deepEqual(Object.keys(result.structuredContent.details), [path]);
    }
    assert.equal(server.fake.calls.length, 0);
  });

  test('notifications are taken', async (t) => {
    const server = await startServer(t);
    const message = { jsonrpc: '2.0', method: 'notifications/x', params: { _meta: META } };
    assert.equal((await send(server, message)).status, 202);
  });

  test('a stream names at most so many resources', async (t) => {
    const server = await startServer(t);
    const uris = Array.from({ length: LIMITS.mcpWatchedMax + 1 }, (_, index) => `vm://vm-${index}`);
    for (const notifications of [undefined, [], { resourceSubscriptions: uris }]) {
      const { body } = await modern(server, 'subscriptions/listen', { notifications });
      assert.equal(body.error.code, -32602);
    }
  });
});

const KEY = 'io.modelcontextprotocol/protocolVersion';

suite('the endpoint', () => {
  test('has POST only', async (t) => {
    const server = await startServer(t);
    for (const method of ['GET', 'DELETE', 'PUT']) {
      const { status, headers } = await ask(server, `${method} /api/v1/mcp`);
      assert.equal(status, 405);
      assert.match(headers.allow ?? '', /\bPOST\b/);
      assert.doesNotMatch(headers.allow ?? '', /GET|DELETE|PUT/);
    }
  });

  test('distinguishes the dialects by the body', async (t) => {
    const server = await startServer(t);
    const version = { 'MCP-Protocol-Version': '2025-11-25' };
    const command = { command: 'volant.plugins.list' };
    const commands = [await send(server, command), await send(server, command, version)];
    for (const { body } of commands) assert.deepEqual(body.result, { plugins: ['hello'] });
    const both = await send(server, { ...rpc('ping'), ...command });
    assert.deepEqual(both.body, { jsonrpc: '2.0', id: 1, result: {} });
    const neither = await send(server, {}, version);
    assert.equal(neither.status, 400);
    assert.equal(neither.body.error.code, -32600);
    const broken = await send(server, '{"jsonrpc":', version);
    assert.equal(broken.status, 400);
    assert.equal(broken.body.error.code, -32700);
  });

  test('refuses pages that came from elsewhere, also under a name that leads here', async (t) => {
    const environment = { VOLANT_CORS_ORIGINS: 'https://console.example' };
    const server = await startServer(t, { environment });
    assert.ok('port' in server.address);
    const here = `127.0.0.1:${server.address.port}`;
    const cases: [string, string, number][] = [
      ['', here, 200],
      [`http://${here}`, here, 200],
      ['http://localhost:81', 'localhost:81', 200],
      ['http://[::1]:81', '[::1]:81', 200],
      ['https://console.example', here, 200],
      ['https://evil.example', here, 403],
      ['null', here, 403],
      ['http://localhost:3000', here, 403],
      ['http://evil.example', 'evil.example', 403],
      ['http://evil.example:7777', 'evil.example:7777', 403],
    ];
    for (const [origin, host, status] of cases) {
      const headers = {
        'Content-Type': 'application/json',
        Host: host,
        ...(origin === '' ? {} : { Origin: origin }),
      };
      const answer = await send(server, rpc('ping'), headers);
      assert.equal(answer.status, status, `${origin} at ${host}`);
      const code = host.startsWith('evil') ? 'HOST_FORBIDDEN' : 'ORIGIN_FORBIDDEN';
      if (status === 403) assert.equal(answer.body.code, code);
    }
  });

  test('wants the API key where there is one', async (t) => {
    const server = await startServer(t, { environment: { VOLANT_API_KEY: 'secret' } });
    assert.equal((await send(server, rpc('ping'))).status, 401);
    const headers = { Authorization: 'Bearer secret' };
    assert.equal((await send(server, rpc('ping'), headers)).status, 200);
  });
});
