// e2e: a person browses on the machine of the daemon: no page in a real browser, of any origin, can create, end or read
// anything, by any means that a page has.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { requireCapability } from '../helpers/capabilities.ts';
import { EVERY_ROUTE } from '../http/every-route.ts';
import { type Outcomes, openPage, type Site, startSite } from './browser.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const run = promisify(execFile);

const VICTIM = 'victim';

async function startVictim(t: TestContext, settings: Record<string, string> = {}): Promise<Daemon> {
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_LOG_LEVEL: 'debug',
    ...settings,
  });
  await daemon.createVm(VICTIM);
  return daemon;
}

/** All that there is, but for what is asked of hypervisors repeatedly. */
async function stateOf(daemon: Daemon): Promise<string[]> {
  const paths = ['vms', 'plugins', 'deployments', `vms/${VICTIM}`, `vms/${VICTIM}/config/history`];
  const answers = [];
  for (const path of paths) answers.push(await daemon.call('GET', `/api/v1/${path}`));
  for (const [index, { status }] of answers.entries()) assert.equal(status, 200, paths[index]);
  return answers.map(({ body }) =>
    JSON.stringify(body, (name, value) => (name === 'conditions' ? undefined : value)),
  );
}

/** Lets a page of this host name attack, and tells what came of it. */
async function attack(
  t: TestContext,
  site: Site,
  host: string,
  api: string,
  daemon: Daemon,
): Promise<Outcomes> {
  const { text: plugin } = await daemon.call('GET', '/api/v1/plugins/hello');
  const report = site.report();
  const close = openPage(t, site.page(host, { api, victim: VICTIM, plugin }));
  const outcomes = await report;
  await close();
  return outcomes;
}

/** Attempts of which the page learned more than that they failed. */
function successes(outcomes: Outcomes): string[] {
  return Object.entries(outcomes)
    .filter(([, outcome]) => !['failed', 'opaque', 'sent'].includes(outcome))
    .map(([name, outcome]) => `${name}: ${outcome}`);
}

test('a page of another origin makes, ends and reads nothing', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const daemon = await startVictim(t);
  const site = await startSite(t);
  const before = await stateOf(daemon);
  const { port } = new URL(daemon.url);
  for (const [host, api] of [
    ['evil.example', daemon.url],
    // Another port of the same machine is the same site, but another origin.
    ['localhost', `http://localhost:${port}`],
    // The daemon under a name of the page's owner.
    ['evil.example', `http://api.evil.example:${port}`],
  ] as const) {
    const outcomes = await attack(t, site, host, api, daemon);
    assert.deepEqual(successes(outcomes), [], `${host} to ${api}`);
    assert.ok(Object.keys(outcomes).length > 40);
    assert.deepEqual(await stateOf(daemon), before, `${host} to ${api}`);
  }
  assert.deepEqual(
    site.requests.filter(({ path }) => path !== '/favicon.ico'),
    [],
  );
  for (const code of ['ORIGIN_FORBIDDEN', 'HOST_FORBIDDEN']) {
    const refusals = daemon.log().split(`"code":"${code}"`).length - 1;
    assert.ok(refusals > 30, `${refusals} times ${code}`);
  }
});

test('a page whose name comes to lead to the daemon reads refusals only', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const daemon = await startVictim(t);
  const before = await stateOf(daemon);
  const { text: plugin } = await daemon.call('GET', '/api/v1/plugins/hello');
  await daemon.terminate();
  const inbox = await startSite(t);
  const report = inbox.report();
  // Same name, same port, first the page's own server, then the daemon: all that a browser sees of a rebinding.
  const site = await startSite(t, Number(new URL(daemon.url).port));
  const parameters = {
    rebound: 'yes',
    victim: VICTIM,
    plugin,
    report: `http://127.0.0.1:${inbox.port}/report`,
  };
  openPage(t, site.page('rebound.example', parameters));
  while (!site.requests.some(({ path }) => path === '/healthz')) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await site.close();
  await daemon.start();
  const outcomes = await report;
  const refusal = /^read (403 )?\{"error":.*"code":"(HOST_FORBIDDEN|ORIGIN_FORBIDDEN)"/;
  const others = successes(outcomes).filter(
    (line) => !refusal.test(line.replace(/^.*?: .*?: /, '')),
  );
  assert.deepEqual(others, []);
  assert.match(outcomes['fetch: list'] ?? '', /HOST_FORBIDDEN/);
  assert.match(outcomes['fetch: delete'] ?? '', /HOST_FORBIDDEN/);
  assert.match(outcomes['fetch: vm, json'] ?? '', /HOST_FORBIDDEN/);
  assert.deepEqual(await stateOf(daemon), before);
});

test('the same page does all of it to a server that obeys, and what it may to a daemon that names it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const site = await startSite(t);
  const named = `http://console.example:${site.port}`;
  const daemon = await startVictim(t, { VOLANT_CORS_ORIGINS: named });
  const obeys = await startSite(t);
  await attack(t, site, 'evil.example', `http://127.0.0.1:${obeys.port}`, daemon);
  const asked = (method: string, path: string, type = '') =>
    obeys.requests.some(
      (request) =>
        request.method === method && request.path === path && request.type.startsWith(type),
    );
  for (const type of [
    'application/json',
    'text/plain',
    'application/x-www',
    'multipart/form-data',
  ]) {
    assert.ok(asked('POST', '/api/v1/vms', type), type);
  }
  assert.ok(asked('POST', '/api/v1/plugins', 'text/plain'));
  assert.ok(asked('OPTIONS', `/api/v1/vms/${VICTIM}`));
  assert.ok(asked('DELETE', `/api/v1/vms/${VICTIM}`));
  assert.ok(asked('POST', `/api/v1/vms/${VICTIM}/stop`));
  assert.ok(asked('GET', '/api/v1/events/vms'));
  assert.ok(asked('GET', `/ws/v1/vms/${VICTIM}/console`, 'websocket'));

  const outcomes = await attack(t, site, 'console.example', daemon.url, daemon);
  assert.match(outcomes['fetch: list'] ?? '', /^read 200 \[\{/);
  assert.match(outcomes['fetch: vm, json'] ?? '', /^read 201 /);
  assert.match(outcomes['fetch: vm, text'] ?? '', /^read 415 /);
  assert.equal(outcomes['events: all'], 'opened');
  assert.equal(outcomes['image: list'], 'failed');
  assert.match(outcomes['fetch: delete'] ?? '', /^read 204 /);
  const { body } = await daemon.call('GET', '/api/v1/vms');
  const made = body.map(({ name }: { name: string }) => name).sort();
  assert.deepEqual(made, ['beacon-json', 'json'], 'JSON and nothing else is taken of a page');
});

test('every route of a real daemon refuses what pages cause, asked by curl', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startVictim(t);
  const before = await stateOf(daemon);
  const foreign = [
    ['Origin: http://evil.example', 'ORIGIN_FORBIDDEN'],
    ['Origin: null', 'ORIGIN_FORBIDDEN'],
    ['Sec-Fetch-Site: cross-site', 'ORIGIN_FORBIDDEN'],
    ['Host: evil.example', 'HOST_FORBIDDEN'],
  ] as const;
  const askAll = async (header: string, code: string) => {
    for (const { target, headers = {}, body } of EVERY_ROUTE) {
      const [method = '', path = ''] = target.split(' ');
      const sent = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
      const { stdout: answer } = await run('curl', [
        ...['--silent', '--max-time', '20', '--path-as-is', '--write-out', '%{http_code}'],
        ...(method === 'HEAD' ? ['--head'] : ['--request', method]),
        ...['-H', header, ...sent, '-H', 'Content-Type: text/plain'],
        ...(body === undefined ? [] : ['--data-binary', body]),
        daemon.url + path.replaceAll('/one', `/${VICTIM}`),
      ]);
      assert.ok(answer.endsWith('403'), `${target} with ${header}: ${answer}`);
      if (method !== 'HEAD')
        assert.ok(answer.includes(code), `${target} with ${header}: ${answer}`);
    }
  };
  await Promise.all(foreign.map(([header, code]) => askAll(header, code)));
  assert.deepEqual(await stateOf(daemon), before);
});
