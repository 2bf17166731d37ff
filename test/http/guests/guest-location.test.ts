// http, guests: redirects of guests: clients stay in the guest, and a malicious guest cannot make a client send its
// request, with its key, to the API or to another server.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createClient } from '../../../src/client/client.ts';
import { confinedLocation } from '../../../src/http/guests/guest-location.ts';
import { serve } from '../served.ts';

const AGENT = '/api/v1/vms/one/agent';
const KEY = 'of-the-operator';
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'] as const;

/** A VM named victim beside a guest that answers with this redirect, unless it was followed to /there. */
async function serveRedirect(t: TestContext, location: (port: number) => string, status = 307) {
  const asked: string[] = [];
  let port = 0;
  const served = await serve(t, {
    settings: { VOLANT_API_KEY: KEY },
    agent: (incoming, answer) => {
      asked.push(`${incoming.method} ${incoming.url}`);
      if (incoming.url?.includes('/there')) answer.end('arrived');
      else answer.writeHead(status, { location: location(port) }).end('moved');
    },
  });
  ({ port } = served);
  await served.engine.vms.create({ name: 'victim', plugin: 'hello' });
  const client = createClient({ baseUrl: served.url, apiKey: KEY });
  return { ...served, asked, client };
}

/** Every form in which a guest can say where it wants a client to go. */
const OUTSIDE: readonly ((port: number) => string)[] = [
  (port) => `http://127.0.0.1:${port}/api/v1/vms/victim`,
  (port) => `//127.0.0.1:${port}/api/v1/vms/victim`,
  (port) => `\\\\127.0.0.1:${port}\\api\\v1\\vms\\victim`,
  (port) => `http:\\\\localhost:${port}/api/v1/vms/victim`,
  (port) => `http://127.0.0.1:8000@127.0.0.1:${port}/api/v1/vms/victim`,
  () => 'https://elsewhere.example/',
  () => 'javascript:alert(1)',
  () => 'file:///etc/passwd',
  () => 'http://[',
  () => '/%252e%252e/%252e%252e/%252e%252e/vms/victim',
  () => '/x%2f..%2f..%2f..%2f..%2fvms%2fvictim',
];

/** These would be the API's if they were taken as they are; they are the guest's own paths. */
const INSIDE: readonly (readonly [string, string])[] = [
  ['/api/v1/vms/victim', '/api/v1/vms/victim'],
  ['../../../../victim', '/victim'],
  ['/../../victim', '/victim'],
  ['/%2e%2e/%2E./victim', '/victim'],
  ['..\\..\\victim', '/victim'],
  ['/.\t./victim', '/victim'],
  ['//127.0.0.1:8000/victim', '/victim'],
];

test('a client that follows every redirect, with its key, reaches nothing but the guest', async (t) => {
  for (const location of [
    ...OUTSIDE,
    ...INSIDE.map(
      ([given]) =>
        () =>
          given,
    ),
  ]) {
    const { url, engine, port, asked, server } = await serveRedirect(t, location);
    for (const method of METHODS) {
      // A guest that redirects to itself forever ends the client, not more.
      await fetch(`${url}${AGENT}/v1/old`, { method, headers: { 'X-Volant-API-Key': KEY } }).then(
        (answer) => answer.text(),
        () => '',
      );
    }
    const said = location(port);
    assert.equal(engine.vms.get('victim') !== undefined, true, said);
    assert.ok(
      asked.every((request) => / \/v1(\/|$)/.test(request)),
      `${said}: ${asked.join(', ')}`,
    );
    server.close();
  }
});

test('what leads out of the guest is reported, under another name', async (t) => {
  for (const location of OUTSIDE) {
    const { client, port } = await serveRedirect(t, location);
    const answer = await client.agent.request('one', '/v1/old', { method: 'DELETE' });
    assert.equal(answer.status, 307);
    assert.equal(answer.headers.get('location'), null, location(port));
    assert.equal(answer.headers.get('x-volant-location'), location(port));
    assert.equal(await answer.text(), 'moved');
  }
});

test('the client’s request to a guest that redirects deletes and creates nothing', async (t) => {
  const foreign = createServer((_, response) => response.end());
  await new Promise<void>((resolve) => foreign.listen(0, '127.0.0.1', resolve));
  t.after(() => foreign.close());
  let reached = 0;
  foreign.on('request', () => {
    reached += 1;
  });
  const elsewhere = () => `http://127.0.0.1:${(foreign.address() as AddressInfo).port}/`;
  for (const location of [() => '/vms/victim', elsewhere, ...OUTSIDE]) {
    const { client, asked } = await serveRedirect(t, location);
    for (const method of METHODS) {
      const answer = await client.agent.request('one', '/v1/old', { method });
      assert.equal(answer.status, 307);
      await answer.text();
    }
    assert.equal(asked.length, METHODS.length, 'nothing was followed');
    const names = (await client.vms.list()).vms.map(({ name }) => name).sort();
    assert.deepEqual(names, ['one', 'victim']);
  }
  assert.equal(reached, 0);
});

test('redirects of a workload that means well lead on, as through any reverse proxy', async (t) => {
  for (const location of ['/there?x=1', 'http://127.0.0.1:8000/there?x=1', 'there?x=1']) {
    const { url, asked } = await serveRedirect(t, () => location, 302);
    const answer = await fetch(`${url}${AGENT}/v1/old`, { headers: { 'X-Volant-API-Key': KEY } });
    assert.equal(await answer.text(), 'arrived', location);
    assert.equal(answer.url, `${url}${AGENT}/v1/there?x=1`);
    assert.deepEqual(asked, ['GET /v1/old', 'GET /v1/there?x=1']);
  }
});

test('a path of the workload is a path below /v1, whatever its base_url is', () => {
  const at = (location: string, workloadUrl: string | null, target = '/v1/a/b?c') =>
    confinedLocation(location, { agentPath: AGENT, target, workloadUrl });
  const plain = 'http://127.0.0.1:8000';
  for (const [given, path] of INSIDE) assert.equal(at(given, plain), `${AGENT}/v1${path}`, given);
  assert.equal(at('d', plain), `${AGENT}/v1/a/d`);
  assert.equal(at('?d#e', plain), `${AGENT}/v1/a/b?d#e`);
  assert.equal(at('', plain), `${AGENT}/v1/a/b?c`);
  assert.equal(at('/käse', plain), `${AGENT}/v1/k%C3%A4se`);
  assert.equal(at('//x.example/', plain), null);
  assert.equal(at('///x.example/', plain), null);
  assert.equal(at('/d', null), `${AGENT}/v1/d`);
  assert.equal(at('http://127.0.0.1:8000/d', null), null);
  assert.equal(at('https://127.0.0.1:8000/d', plain), null);
  assert.equal(at('http://127.0.0.1:8000/d', 'http://localhost:8000/'), `${AGENT}/v1/d`);
  assert.equal(at('http://localhost:8000/d', 'http://localhost:8000/'), `${AGENT}/v1/d`);
  assert.equal(at('/base/d', `${plain}/base/`), `${AGENT}/v1/d`);
  assert.equal(at('d', `${plain}/base`), `${AGENT}/v1/a/d`);
  assert.equal(at('/base', `${plain}/base`), `${AGENT}/v1`);
  assert.equal(at('/based', `${plain}/base`), null, 'the proxy has no way there');
  assert.equal(at('../../../d', `${plain}/base`), null);
  assert.equal(at('d', plain, '/v1'), `${AGENT}/v1/d`);
  assert.equal(at('d', plain, '/v1?x'), `${AGENT}/v1/d`);
  assert.equal(at('/d', plain, '/healthz'), null, 'the agent itself redirects nobody');
  assert.equal(at('/d', plain, '/v1x'), null);
});
