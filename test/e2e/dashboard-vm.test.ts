// e2e: one VM in the dashboard: its whole life by the keyboard alone, and what its pages show of it.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { keepLinksQuiet, openDashboard } from './dashboard.ts';

test('a VM in the dashboard', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  // One daemon for all, because its start and its teardown take seconds.
  keepLinksQuiet();
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  await t.test('a VM lives by the keyboard alone', (part) => liveByKeyboard(part, daemon));
  await t.test('the form and the JSON are one draft, groups and lists included', (part) =>
    writeDraft(part, daemon),
  );
  await t.test('the timeline and the config tell what was done to a VM', (part) =>
    readHistory(part, daemon),
  );
  await t.test(
    'statistics are drawn within the policy, and a daemon without them is named',
    (part) => drawStatistics(part, daemon),
  );
});

/** More than any page has on the way to one of its parts. */
const STEPS_MAX = 120;

/** Presses Tab until what has the focus is named so, as a person without a mouse does. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const focused = await page.evaluate(
      `(() => { const e = document.activeElement; return e.labels?.[0]?.firstChild?.data ?? e.textContent; })()`,
    );
    if (focused === name) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`no Tab leads to ${name}`);
}

async function press(page: Page, button: string): Promise<void> {
  await tabTo(page, button);
  await page.keyboard.press('Enter');
}

/** In the dialog that a button has opened. */
async function agree(page: Page, button: string): Promise<void> {
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Tab');
  await press(page, button);
}

const STATUS = '.page-head .badge';

async function liveByKeyboard(t: TestContext, daemon: Daemon): Promise<void> {
  const { page, complaints } = await openDashboard(t, daemon.url);
  await page.waitForSelector('text="There are no VMs yet"');
  await page.keyboard.press('c');
  await page.waitForSelector('h1:text-is("Create a VM")');
  await tabTo(page, 'name');
  await page.keyboard.type('Not A Name');
  await tabTo(page, 'memory_mb');
  await page.keyboard.type('1');
  await page.keyboard.press('Enter');
  await page.waitForSelector('[role=alert]:focus');
  const problem = page.locator('.field:has(label:text("name")) .field-problem').first();
  assert.match((await problem.textContent()) ?? '', /lower-case/);
  assert.equal(
    await page.getByLabel('name', { exact: false }).first().getAttribute('aria-invalid'),
    'true',
  );

  await tabTo(page, 'name');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('typed');
  await tabTo(page, 'plugin');
  await page.keyboard.type('hello');
  await tabTo(page, 'memory_mb');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('96');
  await press(page, 'Check only');
  await page.waitForSelector('text="The daemon accepts this, and would:"');
  assert.equal((await daemon.call('GET', '/api/v1/vms/typed')).status, 404);
  await press(page, 'Create the VM');
  await page.waitForSelector('h1:text-is("typed")');
  await page.waitForSelector(`${STATUS} >> text="running"`);
  assert.equal((await daemon.getVm('typed')).memory_mb, 96);

  await press(page, 'Stop');
  await agree(page, 'Stop');
  await page.waitForSelector(`${STATUS} >> text="stopped"`);
  await press(page, 'Start');
  await page.waitForSelector(`${STATUS} >> text="running"`);
  await press(page, 'Delete');
  await agree(page, 'Delete');
  await page.waitForSelector('text="There are no VMs yet"');
  assert.equal((await daemon.call('GET', '/api/v1/vms/typed')).status, 404);
  const others = complaints.filter((complaint) => !/status of (400|404|422)/.test(complaint));
  assert.deepEqual(others, []);
}

async function writeDraft(t: TestContext, daemon: Daemon): Promise<void> {
  const path = '/create/vm?plugin=hello';
  const { page } = await openDashboard(t, daemon.url, undefined, {}, path);
  await page.getByLabel('name (required)').fill('drafted');
  await page.click('summary:has-text("config")');
  await page.click('.group summary:has-text("resources") >> nth=0');
  await page.click('button:text-is("Add to expose")');
  await page.getByLabel('host_port', { exact: true }).first().fill('70000');
  await page.getByRole('button', { name: 'JSON', exact: true }).click();
  const draft = JSON.parse(await page.getByLabel('JSON').inputValue());
  assert.deepEqual(draft, {
    plugin: 'hello',
    name: 'drafted',
    config: { expose: [{ host_port: 70_000 }] },
  });
  await page.getByLabel('JSON').fill('{');
  await page.waitForSelector('text=/^is not JSON/');
  assert.ok(await page.getByRole('button', { name: 'Create the VM' }).isDisabled());
  await page.getByLabel('JSON').fill(JSON.stringify(draft));
  await page.getByRole('button', { name: 'Create the VM' }).click();
  await page.waitForSelector('[role=alert] >> text="config.expose[0].host_port"');
  await page.getByRole('button', { name: 'Form', exact: true }).click();
  await page.waitForSelector('.list .field:has-text("host_port") .field-problem');
  await page.getByLabel('host_port', { exact: true }).first().fill('');
  await page.getByRole('button', { name: 'Remove expose 1' }).click();
  await page.getByRole('button', { name: 'Create the VM' }).click();
  await page.waitForSelector('h1:text-is("drafted")');
}

async function readHistory(t: TestContext, daemon: Daemon): Promise<void> {
  await daemon.createVm('told');
  await daemon.call('PATCH', '/api/v1/vms/told/config', { resources: { memory_mb: 200 } });
  const path = '/vms/told?tab=timeline';
  const { page, complaints } = await openDashboard(t, daemon.url, undefined, {}, path);
  await page.click('summary:has-text("create")');
  await page.waitForSelector('.steps li');
  await daemon.call('POST', '/api/v1/vms/told/stop');
  await page.waitForSelector('.timeline >> text="VM_STOPPED"');
  await page.waitForSelector('summary:has-text("stop") >> text="done"');
  await page.getByRole('button', { name: 'Config' }).click();
  const row = page.locator('tr:has-text("resources.memory_mb")');
  await row.waitFor();
  assert.deepEqual(await row.locator('td').allTextContents(), ['128', '200']);
  await daemon.call('PATCH', '/api/v1/vms/told/config', { kernel_cmdline: 'quiet' });
  await page.waitForSelector('tr:has-text("kernel_cmdline")');
  await page.getByLabel('From').selectOption('1');
  await row.waitFor();
  assert.deepEqual(complaints, []);
}

async function drawStatistics(t: TestContext, daemon: Daemon): Promise<void> {
  await daemon.createVm('busy');
  let reading = 0;
  let isKnown = true;
  const { page, complaints } = await openDashboard(
    t,
    daemon.url,
    // A daemon with figures and one without: this test must not depend on which of them is here.
    (opened) =>
      opened.route(/\/vms\/busy\/stats$/, (route) => {
        reading += 1;
        const at = Date.UTC(2030, 0, 1) + reading * 1_000;
        const error = { error: 'There is no such path', code: 'ROUTE_NOT_FOUND' };
        return route.fulfill(
          isKnown ? { json: figures(at, reading) } : { status: 404, json: error },
        );
      }),
    {},
    '/vms/busy?tab=stats',
  );
  await page.waitForSelector('.plot:has-text("CPU") >> text="50 %"');
  await page.waitForSelector('.plot:has-text("Network") >> text="1 KiB/s"');
  // What draws is loaded when it is needed.
  await page.locator('.plot canvas').nth(3).waitFor();
  assert.equal(await page.locator('.plot canvas').count(), 4);
  await page.waitForFunction(`(() => {
    const canvas = document.querySelector('.plot canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value !== 0);
  })()`);
  await page.waitForSelector('text=/The host has no cgroups/');
  assert.deepEqual(complaints, []);
  isKnown = false;
  await page.waitForSelector('text="This daemon has no statistics"');
  assert.deepEqual(
    complaints.filter((complaint) => !/status of 404/.test(complaint)),
    [],
  );
}

/** In the shape of the API; half a core and a KiB each second. */
function figures(atMs: number, reading: number): object {
  return {
    name: 'busy',
    running: true,
    sampled_at: new Date(atMs).toISOString(),
    uptime_seconds: reading,
    cpu: { vcpus: 1, user_seconds: reading * 0.4, system_seconds: reading * 0.1 },
    memory: { guest_bytes: 2 ** 27, resident_bytes: 2 ** 26 },
    cgroup: null,
    network: {
      received_bytes: reading * 1024,
      received_packets: reading,
      received_dropped: 0,
      sent_bytes: reading * 2048,
      sent_packets: reading,
      sent_dropped: 0,
    },
    disks: [],
    missing: { cgroup: 'The host has no cgroups.' },
  };
}
