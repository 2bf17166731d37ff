// e2e: every page of the dashboard, in a real browser on a real daemon: it says what the daemon says, can be read in both
// themes, fits a phone, and breaks no rule of its content security policy.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Locator } from 'playwright-core';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { keepLinksQuiet, openDashboard } from './dashboard.ts';

const CONTRAST = readFileSync(`${PROJECT_ROOT}test/fixtures/contrast.js`, 'utf8');

/** A page, and what it shows when it is complete. */
const PAGES: readonly (readonly [string, string])[] = [
  ['/vms', '.table-body .row'],
  ['/vms/one', 'text="MAC address"'],
  ['/vms/one?tab=timeline', 'text="VM_RUNNING"'],
  ['/vms/one?tab=logs', 'text=/has no agent/'],
  ['/vms/one?tab=config', 'text="kernel_cmdline"'],
  ['/vms/one?tab=stats', '.plot, .state-title'],
  ['/vms/one?tab=console', '.xterm-screen'],
  ['/vms/nobody', 'text=/^VM_NOT_FOUND/'],
  ['/deployments', 'text="2 / 2"'],
  ['/deployments/pair', 'text="Roll back"'],
  ['/events', 'text="DEPLOYMENT_CREATED"'],
  ['/plugins', 'text="hello"'],
  ['/plugins/hello', 'text="Manifest"'],
  ['/images', 'text="There are no records."'],
  ['/devices', 'text="Look up"'],
  ['/host', 'text="Guest kernel"'],
  ['/create/vm', 'text="kernel_cmdline"'],
  ['/create/deployment', 'text="max_unavailable"'],
  ['/create/plugin', 'text="health_check"'],
  ['/nowhere', 'text="There is no such page"'],
];

test('the pages of the dashboard', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  // One daemon for all, because its start and its teardown take seconds. The deployment is deleted last.
  const daemon = await startFilled(t);
  await t.test('each page can be read in both themes and fits both screens', (part) =>
    readEveryPage(part, daemon),
  );
  await t.test('events are shown as they happen, can be filtered and held', (part) =>
    followEvents(part, daemon),
  );
  await t.test('the audit finds what was left on the host, and repairs it', (part) =>
    repairHost(part, daemon),
  );
  await t.test('a link on a page of another site opens the dashboard', (part) =>
    openByLink(part, daemon),
  );
  await t.test('a deployment is scaled, rolled back and deleted', (part) =>
    changeDeployment(part, daemon),
  );
});

async function startFilled(t: TestContext): Promise<Daemon> {
  keepLinksQuiet();
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await daemon.createVm('one');
  await daemon.call('PATCH', '/api/v1/vms/one/config', { kernel_cmdline: 'quiet' });
  const config = { plugin: 'hello' };
  const created = { name: 'pair', replicas: 2, config };
  await daemon.call('POST', '/api/v1/deployments?wait=ready', created);
  const changed = { config: { ...config, resources: { memory_mb: 160 } } };
  await daemon.call('PATCH', '/api/v1/deployments/pair?wait=ready', changed);
  return daemon;
}

/** A browser tells of each 404, and these are those that the pages expect: what is not there, and what a daemon may not have. */
const others = (complaints: readonly string[]) =>
  complaints.filter((complaint) => !/status of 404/.test(complaint));

async function readEveryPage(t: TestContext, daemon: Daemon): Promise<void> {
  const { page, complaints } = await openDashboard(t, daemon.url);
  await page.waitForSelector('text="live"');
  const problems: string[] = [];
  for (const [path, shown] of PAGES) {
    await page.evaluate(`location.hash = ${JSON.stringify(path)}`);
    await page.waitForSelector(shown, { state: 'visible' });
    for (const theme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: theme });
      const unreadable = (await page.evaluate(CONTRAST)) as string[];
      problems.push(...unreadable.map((text) => `${path} ${theme}: ${text}`));
    }
    for (const width of [390, 1440]) {
      await page.setViewportSize({ width, height: 844 });
      const excess = await page.evaluate(
        `Math.max(document.documentElement.scrollWidth - innerWidth, document.querySelector('main').scrollWidth - innerWidth)`,
      );
      if (Number(excess) > 0) problems.push(`${path} is ${excess} px wider than ${width} px`);
    }
  }
  assert.deepEqual(problems, []);
  assert.deepEqual(others(complaints), []);
}

async function followEvents(t: TestContext, daemon: Daemon): Promise<void> {
  const { page, complaints } = await openDashboard(t, daemon.url, undefined, {}, '/events');
  await page.waitForSelector('.row:has(a:text-is("one")) >> text="VM_CREATED"');
  await daemon.createVm('later');
  await page.waitForSelector('.row:has(a:text-is("later")) >> text="VM_RUNNING"');
  await page.getByRole('button', { name: 'Pause' }).click();
  await daemon.call('POST', '/api/v1/vms/later/stop');
  await page.getByRole('button', { name: /^Resume \(\d+ new\)$/ }).waitFor();
  assert.equal(await page.locator('.row >> text="VM_STOPPED"').count(), 0);
  await page.getByRole('button', { name: /^Resume/ }).click();
  await page.waitForSelector('.row >> text="VM_STOPPED"');
  await page.getByLabel('Kind').selectOption('DEPLOYMENT');
  await page.waitForSelector('.row >> text="VM_STOPPED"', { state: 'detached' });
  assert.match(await page.evaluate('location.hash'), /kind=DEPLOYMENT/);
  await page.click('.row:has-text("DEPLOYMENT_CREATED") a');
  await page.waitForSelector('h1:text-is("pair")');
  assert.deepEqual(complaints, []);
}

async function changeDeployment(t: TestContext, daemon: Daemon): Promise<void> {
  const path = '/deployments/pair';
  const { page, complaints } = await openDashboard(t, daemon.url, undefined, {}, path);
  await page.getByLabel('Replicas').fill('3');
  await page.getByRole('button', { name: 'Scale' }).click();
  await page.waitForSelector('.tiles li:has-text("pair-3") >> text="running"');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.waitForSelector('td.added:text-is("160"), td.removed:text-is("160")');
  await page.getByRole('button', { name: 'Roll back' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('pair-1').waitFor();
  await dialog.getByRole('button', { name: 'Roll back' }).click();
  await page.waitForSelector('text="3, the current one"');
  await page.waitForSelector('.meter:has-text("With revision 3") >> text="3 of 3"');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await page.waitForSelector('text="There are no deployments yet"');
  assert.deepEqual(others(complaints), []);
}

async function appears(locator: Locator): Promise<boolean> {
  try {
    await locator.waitFor({ timeout: 10_000 });
    return true;
  } catch (error) {
    if ((error as Error).name !== 'TimeoutError') throw error;
    return false;
  }
}

async function repairHost(t: TestContext, daemon: Daemon): Promise<void> {
  await daemon.createVm('gone');
  const tap = daemon.taps().at(-1) ?? '';
  await daemon.call('DELETE', '/api/v1/vms/gone');
  const { page } = await openDashboard(t, daemon.url, undefined, {}, '/host');
  const row = page.locator(`tr:has-text("${tap}")`);
  // The daemon compares, too, once a minute, and may come first.
  do {
    if (!daemon.taps().includes(tap)) execFileSync('ip', ['tuntap', 'add', tap, 'mode', 'tap']);
    await page.getByRole('button', { name: 'Compare with the records' }).click();
  } while (!(await appears(row)));
  await page.getByRole('button', { name: 'Repair' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Repair' }).click();
  await page.waitForSelector('text=/Repaired: [01]/');
  assert.deepEqual(
    daemon.taps().filter((each) => each === tap),
    [],
  );
}

async function openByLink(t: TestContext, daemon: Daemon): Promise<void> {
  const site = createServer((_, answer) =>
    answer
      .setHeader('Content-Type', 'text/html')
      .end(`<a href="${daemon.url}/ui">Open</a><iframe src="${daemon.url}/ui/"></iframe>`),
  );
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    site.closeAllConnections();
    site.close();
  });
  const { page } = await openDashboard(t, daemon.url);
  const { port } = site.address() as AddressInfo;
  await page.goto(`http://localhost:${port}/`);
  assert.equal(await page.frameLocator('iframe').locator('#app').count(), 0, 'no page frames it');
  await page.click('text="Open"');
  await page.waitForSelector('.table-body .row:has(a:text-is("one"))');
}
