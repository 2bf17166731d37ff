// http, guests: actions, documents and artifacts, against the server with a fake guest.

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Artifacts } from '../../../src/engine/plugins/artifacts.ts';
import type { State } from '../../../src/engine/state/state.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { type Served, type ServeOptions, serve } from '../served.ts';

const ACTIONS = {
  greet: { method: 'post', path: '/greet' },
  look: { method: 'GET', path: '/v1/look' },
  hang: { method: 'POST', path: '/hang', timeout_ms: 150 },
};

/** A VM named `two` whose manifest is hello's and more. */
async function serveManifest(
  t: TestContext,
  more: Record<string, unknown>,
  options: ServeOptions = {},
): Promise<Served> {
  const served = await serve(t, options);
  const hello = served.engine.plugins.get('hello');
  const manifest = { ...hello, name: 'mine', actions: ACTIONS, ...more };
  await served.engine.plugins.install(manifest);
  await served.engine.vms.create({ name: 'two', plugin: 'mine' });
  return served;
}

async function textOf(incoming: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of incoming) text += chunk;
  return text;
}

async function answerOf(served: Served, method: string, path: string, body?: unknown) {
  const response = await served.call(method, path, body);
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

test('an action carries its body to the workload and brings the JSON back', async (t) => {
  const seen: string[] = [];
  const served = await serveManifest(
    t,
    {},
    {
      agent: async (incoming, answer) => {
        seen.push(`${incoming.method} ${incoming.url} ${await textOf(incoming)}`);
        answer.end('{"said": [1, 2]}');
      },
    },
  );
  const path = '/api/v1/vms/two/actions/mine';
  const greeted = await answerOf(served, 'POST', `${path}/greet`, { name: 'you' });
  assert.deepEqual(greeted, { status: 200, body: { said: [1, 2] } });
  await answerOf(served, 'POST', `${path}/look`, {});
  assert.deepEqual(seen, ['POST /v1/greet {"name":"you"}', 'GET /v1/look ']);
});

test('what the workload answers decides what the action answers', async (t) => {
  const answers: [number, string][] = [
    [204, ''],
    [200, 'null'],
    [422, '{"error": "no name"}'],
    [503, 'busy'],
    [200, 'not JSON'],
  ];
  const served = await serveManifest(
    t,
    {},
    {
      agent: (incoming, answer) => {
        if (incoming.url === '/v1/hang') return;
        const [status, text] = answers.shift() ?? [500, ''];
        answer.writeHead(status).end(text);
      },
    },
  );
  const path = '/api/v1/vms/two/actions/mine';
  const results = [];
  for (let left = answers.length; left > 0; left -= 1) {
    const { status, body } = await answerOf(served, 'POST', `${path}/greet`, {});
    results.push([status, body?.code, body?.error]);
  }
  assert.deepEqual(results, [
    [202, undefined, undefined],
    [202, undefined, undefined],
    [422, 'ACTION_FAILED', 'no name'],
    [503, 'ACTION_FAILED', 'The workload answered 503'],
    [502, 'AGENT_UNREACHABLE', 'The workload did not answer with JSON'],
  ]);
  const hung = await answerOf(served, 'POST', `${path}/hang`, {});
  assert.deepEqual([hung.status, hung.body.error], [502, 'The agent did not answer in 150 ms']);
});

test('an action that is not the VM’s, or may not be run, is refused', async (t) => {
  const served = await serveManifest(t, {});
  const codeOf = async (path: string, body: unknown = {}) => {
    const answer = await answerOf(served, 'POST', `/api/v1/vms/${path}`, body);
    return `${answer.status} ${answer.body.code}`;
  };
  assert.equal(await codeOf('none/actions/mine/greet'), '404 VM_NOT_FOUND');
  assert.equal(await codeOf('two/actions/mine/toString'), '404 ACTION_NOT_FOUND');
  assert.equal(await codeOf('two/actions/hello/greet'), '404 ACTION_NOT_FOUND');
  assert.equal(await codeOf('two/actions/mine/greet', [1]), '400 BODY_INVALID');
  assert.equal(await codeOf('two/actions/mine/greet'), '502 AGENT_UNREACHABLE');
  await served.engine.plugins.setEnabled('mine', false);
  assert.equal(await codeOf('two/actions/mine/greet'), '409 PLUGIN_DISABLED');
  await served.engine.plugins.setEnabled('mine', true);
  await served.engine.vms.stop('two');
  assert.equal(await codeOf('two/actions/mine/greet'), '409 VM_STATE_CONFLICT');
});

test('the document is the workload’s own, else the file of the manifest', async (t) => {
  let status = 200;
  const served = await serveManifest(
    t,
    { openapi: 'file:///images/api.yaml' },
    {
      agent: (incoming, answer) => {
        assert.equal(incoming.url, '/v1/openapi');
        answer.writeHead(status).end('{"openapi": "3.0.3"}');
      },
    },
  );
  served.world.host.documents.set('/images/api.yaml', 'openapi: 3.1.0\n');
  const get = async () => {
    const answer = await served.call('GET', '/api/v1/vms/two/openapi');
    return [answer.status, answer.headers.get('content-type'), await answer.text()];
  };
  assert.deepEqual(await get(), [200, 'application/json', '{"openapi": "3.0.3"}']);
  status = 502;
  assert.deepEqual(await get(), [200, 'application/json', '{"openapi":"3.1.0"}']);
  const raw = await served.call('GET', '/api/v1/vms/two/openapi?format=raw');
  assert.equal(raw.headers.get('content-type'), 'application/yaml');
  assert.equal(await raw.text(), 'openapi: 3.1.0\n');
  assert.equal((await served.call('GET', '/api/v1/vms/two/openapi?format=xml')).status, 400);
  served.world.host.documents.set('/images/api.yaml', '<html>\n');
  assert.equal((await get())[0], 502);
  served.world.host.documents.clear();
  assert.equal((await get())[0], 404);
  // A VM that does not run has still what its manifest says.
  served.world.host.documents.set('/images/api.yaml', 'openapi: 3.1.0\n');
  await served.engine.vms.stop('two');
  assert.equal((await get())[0], 200);
  assert.equal((await served.call('GET', '/api/v1/vms/one/openapi')).status, 404);
  assert.equal((await served.call('GET', '/api/v1/vms/none/openapi')).status, 404);
});

test('a guest that is asked too much is said to be so, not to have no document', async (t) => {
  const agent: RequestListener = (_, answer) => answer.end('{"openapi": "3.0.3"}');
  const served = await serveManifest(t, { openapi: 'file:///images/api.yaml' }, { agent });
  served.world.host.documents.set('/images/api.yaml', 'openapi: 3.1.0\n');
  const { openAgent } = served.world.hypervisor;
  served.world.hypervisor.openAgent = () => {
    throw new VolantError('OVERLOADED', 'At most 12 requests', { retryAfterSeconds: 1 });
  };
  const busy = await served.call('GET', '/api/v1/vms/two/openapi');
  const { code } = (await busy.json()) as { code: string };
  assert.deepEqual([busy.status, code, busy.headers.get('retry-after')], [503, 'OVERLOADED', '1']);
  served.world.hypervisor.openAgent = openAgent;
  assert.equal(
    await (await served.call('GET', '/api/v1/vms/two/openapi')).text(),
    '{"openapi": "3.0.3"}',
  );
});

test('a document is fetched from hosts that the operator has named, and from no other', async (t) => {
  let asked = 0;
  const documents = createServer((incoming, answer) => {
    asked += 1;
    if (incoming.url === '/moved') answer.writeHead(302, { Location: '/api.json' });
    if (incoming.url === '/none') answer.writeHead(404);
    answer.end('{"openapi": "3.0.0"}');
  });
  await new Promise<void>((resolve) => documents.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    documents.closeAllConnections();
    documents.close();
  });
  const { port } = documents.address() as AddressInfo;
  const ask = async (path: string, hosts: string) => {
    const openapi = `http://127.0.0.1:${port}${path}`;
    const settings = { VOLANT_OPENAPI_HOSTS: hosts };
    const served = await serveManifest(t, { openapi }, { settings });
    const { status, body } = await answerOf(served, 'GET', '/api/v1/vms/two/openapi');
    return [status, body.code ?? body.openapi];
  };
  assert.deepEqual(await ask('/api.json', ''), [502, 'DOCUMENT_UNREACHABLE']);
  assert.deepEqual(await ask('/api.json', 'docs.example'), [502, 'DOCUMENT_UNREACHABLE']);
  assert.equal(asked, 0);
  assert.deepEqual(await ask('/api.json', `127.0.0.1:${port}`), [200, '3.0.0']);
  assert.deepEqual(await ask('/moved', '127.0.0.1'), [502, 'DOCUMENT_UNREACHABLE']);
  assert.deepEqual(await ask('/none', '127.0.0.1'), [502, 'DOCUMENT_UNREACHABLE']);
  assert.equal(asked, 3);
  // "*" stands for every public host: a service of this host has to be named.
  assert.deepEqual(await ask('/api.json', '*'), [502, 'DOCUMENT_UNREACHABLE']);
  assert.deepEqual(await ask('/api.json', '*,localhost'), [502, 'DOCUMENT_UNREACHABLE']);
  assert.equal(asked, 3);
  assert.deepEqual(await ask('/api.json', '*,127.0.0.1'), [200, '3.0.0']);
});

test('a manifest’s document that is neither a URL nor a path is said to be so', async (t) => {
  for (const openapi of ['api.yaml', 'ftp://host/api.yaml', 'file://host/api.yaml']) {
    const served = await serveManifest(t, { openapi });
    const { status, body } = await answerOf(served, 'GET', '/api/v1/vms/two/openapi');
    assert.deepEqual([status, body.code], [400, 'MEDIA_INVALID'], openapi);
  }
});

test('artifacts are kept, replaced, listed in order, found and removed', async (t) => {
  const served = await serve(t);
  const path = '/api/v1/plugins/hello/artifacts';
  const ask = (method: string, rest = '', body?: unknown) =>
    answerOf(served, method, `${path}${rest}`, body);
  assert.deepEqual(await ask('GET'), { status: 200, body: [] });
  const put = (version: string, artifact_name: string, more: object = {}) =>
    ask('POST', '', { version, artifact_name, ...more });
  assert.deepEqual(await put('1.9', 'rootfs'), { status: 201, body: undefined });
  await put('1.10', 'b', { kind: 'rootfs', size_bytes: 7 });
  await put('1.10', 'a');
  const before = (await ask('GET', '/b?version=1.10')).body;
  await put('1.10', 'b', { kind: 'kernel' });
  const after = (await ask('GET', '/b?version=1.10')).body;
  assert.deepEqual(
    [after.plugin, after.kind, after.size_bytes, after.created_at],
    ['hello', 'kernel', 0, before.created_at],
  );
  const list = async (rest = '') =>
    (await ask('GET', rest)).body.map(
      ({ version, artifact_name }: Record<string, string>) => `${version} ${artifact_name}`,
    );
  assert.deepEqual(await list(), ['1.10 a', '1.10 b', '1.9 rootfs']);
  assert.deepEqual(await list('?version=1.9'), ['1.9 rootfs']);
  assert.equal((await ask('GET', '/b')).status, 400);
  assert.equal((await ask('GET', '/b?version=2')).body.code, 'ARTIFACT_NOT_FOUND');
  assert.equal((await put('', 'a')).status, 400);
  assert.equal((await ask('DELETE', '?version=1.10')).status, 204);
  assert.deepEqual(await list(), ['1.9 rootfs']);
  assert.equal(served.world.store.artifacts.size, 1);
  assert.equal((await ask('DELETE')).status, 204);
  assert.equal((await ask('DELETE')).status, 204);
  assert.equal(served.world.store.artifacts.size, 0);
});

test('the size of an artifact is a number that every client reads, also one that was taken before', async (t) => {
  const served = await serve(t);
  const path = '/api/v1/plugins/hello/artifacts';
  const put = (artifact_name: string, size_bytes: unknown) =>
    answerOf(served, 'POST', path, { version: '1', artifact_name, size_bytes });
  for (const size of [1e300, 2 ** 53, -1, 1.5, '7', null]) {
    const { status, body } = await put('a', size);
    assert.equal(status, 400, String(size));
    assert.ok('size_bytes' in body.details);
  }
  assert.equal((await put('largest', 2 ** 53 - 1)).status, 201);
  const [kept] = served.world.store.artifacts.values();
  assert.ok(kept !== undefined);
  const old = new Artifacts({} as State, systemClock, [{ ...kept, sizeBytes: 1e300 }]);
  assert.equal(JSON.stringify(old.list('hello')[0]?.size_bytes), '9007199254740991');
});

test('the summary counts; the manifest of a disabled plugin is not for guests', async (t) => {
  const served = await serveManifest(t, {});
  await served.engine.vms.stop('two');
  const { body } = await answerOf(served, 'GET', '/api/v1/system/summary');
  assert.equal(body.total_vms, 2);
  assert.deepEqual(body.by_status, { running: 1, stopped: 1 });
  assert.equal(body.total_plugins, body.plugins.length);
  const manifest = () => answerOf(served, 'GET', '/api/v1/plugins/mine/manifest');
  assert.equal((await manifest()).body.name, 'mine');
  await served.engine.plugins.setEnabled('mine', false);
  assert.equal((await manifest()).body.code, 'PLUGIN_DISABLED');
  const summary = (await answerOf(served, 'GET', '/api/v1/system/summary')).body;
  assert.equal(summary.enabled_plugins, body.enabled_plugins - 1);
});

test('what the guest printed last is there while it runs and after it has ended, as text', async (t) => {
  const served = await serve(t);
  served.world.host.consoleLog = 'booted\nthe last words: ü\n';
  const read = async () => {
    const answer = await served.call('GET', '/api/v1/vms/one/console-log');
    return [answer.status, answer.headers.get('content-type'), await answer.text()];
  };
  const expected = [200, 'text/plain; charset=utf-8', 'booted\nthe last words: ü\n'];
  assert.deepEqual(await read(), expected);
  await served.engine.vms.stop('one');
  assert.deepEqual(await read(), expected);
  assert.equal((await served.call('GET', '/api/v1/vms/none/console-log')).status, 404);
});
