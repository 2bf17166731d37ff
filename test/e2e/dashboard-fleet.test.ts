// e2e: the list of a fleet, in a real browser, while its daemon is killed and started again: it says that it is not connected,
// comes back by itself, shows what became of each VM, and has few rows in the document however far it is scrolled.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { keepLinksQuiet, openDashboard } from './dashboard.ts';

const VMS = Number(process.env['VOLANT_TEST_FLEET_VMS'] ?? 400);
const CLIENTS = 16;
/** Rows in view, and some beyond the edges. */
const ROWS_MAX = 80;
const WHEEL_PX = 4_000;
const TABS_MAX = 60;
/** A daemon adopts thousands of VMs before it answers. */
const COME_BACK_MS = 120_000;

const nameOf = (index: number) => `fleet-${String(index).padStart(5, '0')}`;
const statusOf = (name: string) => `.table-body .row:has(a:text-is("${name}")) .badge >> nth=0`;

async function createFleet(daemon: Daemon): Promise<void> {
  let next = 1;
  const client = async () => {
    for (let index = next++; index <= VMS; index = next++) await daemon.createVm(nameOf(index));
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** How many rows are in the document, and whether one of them is in the middle of the table. */
const rowsIn = (page: Page) =>
  page.evaluate(`(() => {
    const table = document.querySelector('.table').getBoundingClientRect();
    const middle = document.elementFromPoint(table.left + 60, table.top + table.height / 2);
    return [document.querySelectorAll('.table-body .row').length, middle?.closest('.row') !== null];
  })()`) as Promise<[count: number, isRowThere: boolean]>;

async function scrollThrough(page: Page): Promise<void> {
  await page.hover('.table-body .row >> nth=3');
  for (const direction of [1, 1, 1, -1]) {
    await page.mouse.wheel(0, direction * WHEEL_PX);
    await page.waitForFunction(
      `document.elementFromPoint(200, innerHeight / 2)?.closest('.row') != null`,
    );
    const [count, isRowThere] = await rowsIn(page);
    assert.ok(count <= ROWS_MAX, `${count} rows`);
    assert.ok(isRowThere);
  }
}

/** The focus goes from where it is to the first row of the table. */
async function tabToRow(page: Page): Promise<void> {
  for (let tabs = 0; tabs < TABS_MAX; tabs += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(`document.activeElement.matches('.table-body .row')`)) return;
  }
  throw new Error('no row gets the focus');
}

const excessOf = (page: Page) =>
  page.evaluate(
    `Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth) - innerWidth`,
  );

test(`the list of ${VMS} VMs outlives a kill of its daemon, by keys and on a phone, too`, async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  keepLinksQuiet();
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_SUBNET: '10.77.0.0/16',
    VOLANT_HOST_IP: '10.77.0.1',
  });
  await createFleet(daemon);
  const { page } = await openDashboard(t, daemon.url);
  const chip = (status: string, count: number) =>
    page
      .getByRole('button', { name: `${status} ${count}`, exact: true })
      .waitFor({ timeout: COME_BACK_MS });
  await chip('running', VMS);
  await scrollThrough(page);

  const ended = [nameOf(1), nameOf(2), nameOf(VMS)];
  const pids = await Promise.all(ended.map(async (name) => (await daemon.getVm(name)).pid));
  await daemon.kill('SIGKILL');
  await page.waitForSelector('text="Not connected."');
  await page.waitForSelector('header >> text="not connected"');
  // What was there is still shown, and can be read.
  await scrollThrough(page);
  for (const pid of pids) if (pid !== undefined) process.kill(pid, 'SIGKILL');
  await daemon.start();
  await page.waitForSelector('text="Not connected."', { state: 'detached', timeout: COME_BACK_MS });
  await page.waitForSelector('header >> text="live"');
  await chip('crashed', ended.length);
  await chip('running', VMS - ended.length);

  // By keys alone: to the VMs, to the last row, to the search, to the page of a VM, and back.
  await page.keyboard.press('g');
  await page.keyboard.press('v');
  await tabToRow(page);
  await page.keyboard.press('End');
  await page.waitForSelector(`${statusOf(nameOf(VMS))} >> text="crashed"`);
  assert.equal(await page.textContent('.row:focus a'), nameOf(VMS));
  await page.keyboard.press('Home');
  await page.waitForSelector(`${statusOf(nameOf(1))} >> text="crashed"`);
  await page.keyboard.press('/');
  await page.keyboard.type(nameOf(2));
  await page.waitForSelector(statusOf(nameOf(1)), { state: 'detached' });
  await tabToRow(page);
  await page.keyboard.press('Enter');
  await page.waitForSelector(`h1:text-is("${nameOf(2)}")`);
  await page.waitForSelector('.page-head .badge >> text="crashed"');
  await page.keyboard.press('g');
  await page.keyboard.press('v');
  await page.waitForSelector(statusOf(nameOf(1)));

  // The code of a page comes from the daemon, too, and is kept.
  await page.evaluate(`location.hash = '/deployments'`);
  await page.waitForSelector('text="There are no deployments yet"');
  await page.evaluate(`location.hash = '/vms'`);
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await excessOf(page), 0);
  await page.waitForSelector(`${statusOf(nameOf(1))} >> text="crashed"`);
  await scrollThrough(page);
  await daemon.kill('SIGKILL');
  await page.waitForSelector('text="Not connected."');
  assert.equal(await excessOf(page), 0);
  // A page that is opened meanwhile cannot be read, and is read when the daemon is back.
  await page.evaluate(`location.hash = '/deployments'`);
  await page.waitForSelector('text=/cannot be shown/');
  await daemon.start();
  await page.waitForSelector('text="Not connected."', { state: 'detached', timeout: COME_BACK_MS });
  await page.waitForSelector('text="There are no deployments yet"');
  await page.evaluate(`location.hash = '/vms'`);
  await chip('crashed', ended.length);
});
