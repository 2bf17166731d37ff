// test helpers: the dashboard of a daemon in a real browser, driven by playwright. What the page asks, and what the browser
// complains about, is noted.

import { writeFileSync } from 'node:fs';
import { after, type TestContext } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';

const PATIENCE_MS = 60_000;

export interface Dashboard {
  readonly page: Page;
  /** Errors and warnings of the console, breaches of the policy, and requests to others than the daemon. */
  readonly complaints: readonly string[];
}

export interface DashboardOptions {
  readonly width?: number;
  readonly height?: number;
  readonly theme?: 'light' | 'dark';
}

/**
 * Call it before the daemon makes links. Chromium drops all its requests when an address of its host appears, as that of IPv6
 * does on each new tap; new links of this network namespace, which is that of the test, get none from now on.
 */
export function keepLinksQuiet(): void {
  writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
}

/** One for all tests of a file, because its start takes seconds. Each test has its own storage, cache and pages. */
let browser: Promise<Browser> | undefined;

after(async () => (await browser)?.close());

/** Opens the dashboard in a page of its own, which ends with the test. `prepare` runs before anything is loaded. */
export async function openDashboard(
  t: TestContext,
  url: string,
  prepare: (page: Page) => Promise<unknown> = async () => undefined,
  { width = 1440, height = 900, theme = 'light' }: DashboardOptions = {},
  /** The page that is opened: what follows the number sign of its address. */
  path = '/vms',
): Promise<Dashboard> {
  browser ??= chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    // The tests run as root, which chromium's sandbox refuses. Its pages are ours.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
      '--no-proxy-server',
    ],
  });
  const viewport = { width, height };
  const context = await (await browser).newContext({ viewport, colorScheme: theme });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints: string[] = [];
  page.on('request', (request) => {
    const other = new URL(request.url()).origin;
    if (other !== url && !request.url().startsWith('data:')) complaints.push(`asks ${other}`);
  });
  page.on('pageerror', (error) => complaints.push(`throws ${error.message}`));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`says ${message.text()}`);
  });
  // Breaches are told on the console, too, but not those of a policy that only reports.
  await page.addInitScript(
    `addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective));`,
  );
  await prepare(page);
  await page.goto(`${url}/ui/#${path}`);
  return { page, complaints };
}
