// e2e: a person opens the dashboard in a real browser: it shows the VMs of a real daemon as they come and go, asks nobody but
// the daemon, and breaks no rule of its content security policy.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { keepLinksQuiet, openDashboard } from './dashboard.ts';
import { installProbe } from './probe-image.ts';

const KEY = 'a-key-for-the-dashboard';

const statusOf = (name: string) => `.table-body .row:has(a:text-is("${name}")) .badge >> nth=0`;

function startSimulated(t: Parameters<typeof startDaemon>[0], settings = {}): Promise<Daemon> {
  keepLinksQuiet();
  return startDaemon(t, { VOLANT_HYPERVISOR: 'simulator', ...settings });
}

test('the list follows what others do, and does what its user wants', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const daemon = await startSimulated(t);
  await daemon.createVm('first');
  const { page, complaints } = await openDashboard(t, daemon.url);
  await page.waitForSelector('text="live"');
  await page.waitForSelector(statusOf('first'));
  assert.equal(await page.textContent(statusOf('first')), 'running');

  await daemon.createVm('second');
  await page.waitForSelector(statusOf('second'));
  await daemon.call('POST', '/api/v1/vms/second/stop');
  await page.waitForSelector(`${statusOf('second')} >> text="stopped"`);
  await daemon.call('DELETE', '/api/v1/vms/first');
  await page.waitForSelector(statusOf('first'), { state: 'detached' });

  // The event of a start may come long before its answer.
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  await page.route('**/vms/second/start', async (route) => {
    const response = await route.fetch();
    await answered;
    await route.fulfill({ response });
  });
  // By keys alone: to the row, select it, start it.
  await page.focus('.table-body .row');
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Start', exact: true }).press('Enter');
  await page.waitForSelector(`${statusOf('second')} >> text="running"`);

  await page.focus('.table-body .row');
  await page.keyboard.press('Space');
  await page.waitForSelector('text="1 selected"');
  answer();
  await page.waitForSelector('text="Started second"');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
  assert.equal((await daemon.getVm('second')).status, 'running', 'nothing happens without a yes');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await page.waitForSelector('text="There are no VMs yet"');
  assert.equal((await daemon.call('GET', '/api/v1/vms/second')).status, 404);
  assert.deepEqual(complaints, []);
});

test('a search and a filter are in the address, and a VM has a page', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const daemon = await startSimulated(t);
  for (const name of ['blue-1', 'blue-2', 'green-1']) await daemon.createVm(name);
  await daemon.call('POST', '/api/v1/vms/blue-2/stop');
  const { page, complaints } = await openDashboard(t, daemon.url);
  const names = () => page.locator('.table-body .row a').allTextContents();
  await page.waitForSelector(`${statusOf('blue-2')} >> text="stopped"`);
  await page.keyboard.press('/');
  await page.keyboard.type('blue');
  await page.waitForSelector(statusOf('green-1'), { state: 'detached' });
  await page.getByRole('button', { name: /^stopped/ }).click();
  await page.waitForSelector(statusOf('blue-1'), { state: 'detached' });
  assert.deepEqual(await names(), ['blue-2']);
  await page.reload();
  await page.waitForSelector(statusOf('blue-2'));
  assert.deepEqual(await names(), ['blue-2']);
  await page.click('text="blue-2"');
  await page.waitForSelector('h1:text-is("blue-2")');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.waitForSelector('.page-head .badge >> text="running"');
  assert.deepEqual(complaints, []);
});

test('it asks for a key, says when it is not connected, and continues where it left off', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const daemon = await startSimulated(t, { VOLANT_API_KEY: KEY });
  const create = (name: string) =>
    fetch(`${daemon.url}/api/v1/vms`, {
      method: 'POST',
      headers: { 'X-Volant-API-Key': KEY, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name, plugin: 'hello' }),
    });
  await create('before');
  const { page } = await openDashboard(t, daemon.url);
  await page.getByLabel('API key').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForSelector('text="The key that was sent is wrong or has expired."');
  await page.getByLabel('API key').fill(KEY);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForSelector(statusOf('before'));

  await daemon.terminate();
  await page.waitForSelector('text="Not connected."');
  await daemon.start();
  await create('after');
  await page.waitForSelector(statusOf('after'));
  await page.waitForSelector('text="Not connected."', { state: 'detached' });

  await page.reload();
  await page.waitForSelector(statusOf('before'));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForSelector('text="Sign in"');
  assert.equal(await page.evaluate('sessionStorage.length + localStorage.length'), 0);
});

test('ten thousand VMs are as smooth as ten: only rows in view are in the document', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  const daemon = await startSimulated(t);
  const vm = await daemon.createVm('one');
  const { page } = await openDashboard(t, daemon.url, async (opened) => {
    // As many as there are, the daemon's own answer repeated: making them would take minutes.
    const all = Array.from({ length: 10_000 }, (_, index) => ({
      ...vm,
      id: index + 1,
      name: `vm-${index + 1}`,
    }));
    await opened.route(/\/api\/v1\/vms\?/, (route) => {
      const query = new URL(route.request().url()).searchParams;
      const from = Number(query.get('offset'));
      const body = JSON.stringify(all.slice(from, from + Number(query.get('limit'))));
      return route.fulfill({ body, headers: { 'X-Total-Count': '10000' } });
    });
  });
  await page.waitForSelector(statusOf('vm-1'));
  await page.focus('.table-body .row');
  await page.keyboard.press('End');
  await page.waitForSelector(statusOf('vm-10000'));
  assert.equal(await page.textContent('.row:focus a'), 'vm-10000');
  const rows = await page.locator('.table-body .row').count();
  assert.ok(rows < 100, `${rows} rows`);
  assert.equal(await page.getAttribute('[role=grid]', 'aria-rowcount'), '10001');
});

test('the console of a guest is shown in a terminal, within the policy', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'chromium')) return;
  keepLinksQuiet();
  const daemon = await startDaemon(t);
  await installProbe(daemon);
  await daemon.createVm('guest', { plugin: 'probe' });
  const { page, complaints } = await openDashboard(t, daemon.url);
  await page.click('text="guest"');
  await page.getByRole('button', { name: 'Console' }).click();
  await page.waitForSelector('text=/^Connected/');
  await page.locator('.xterm-rows', { hasText: 'workload-started' }).waitFor();
  assert.ok((await page.locator('.xterm-rows').boundingBox())?.height ?? 0 > 200);

  await page.getByRole('button', { name: 'Logs' }).click();
  const lines = page.locator('.log-line');
  await lines.filter({ hasText: 'workload-started' }).first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('workload-');
  await page.waitForSelector('text=/· 1 line$/');
  assert.match((await lines.allTextContents()).join(), /workload-started/);
  await page.keyboard.type('nothing-like-this');
  await page.waitForSelector('text=/· 0 lines$/');

  await page.getByRole('button', { name: 'Facts' }).click();
  await page.waitForSelector('.xterm', { state: 'detached' });
  assert.equal(await page.evaluate('document.adoptedStyleSheets.length'), 0);
  assert.deepEqual(complaints, []);
});
