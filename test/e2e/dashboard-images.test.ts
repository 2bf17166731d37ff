// e2e: the page of images: a person pulls a container image of a real registry, sees how far it is, and removes it. The daemon's
// refusals are told.

import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Registry, startRegistry } from '../helpers/registry.ts';
import { writeLayout } from '../host/jobs/images/image-maker.ts';
import { busyboxImage } from './container-image.ts';
import { startDaemon } from './daemon.ts';
import { keepLinksQuiet, openDashboard } from './dashboard.ts';

/** A way to the registry that holds layers back until it is opened. */
async function startGate(t: TestContext, { host }: Registry) {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const [hostname = '', port] = host.split(':');
  const server = createServer(({ method = 'GET', url = '', headers }, answer) => {
    const path = url;
    const asked = request({ hostname, port, method, path, headers }, async (given) => {
      if (method === 'GET' && path.includes('/blobs/')) await opened;
      answer.writeHead(given.statusCode ?? 502, given.headers);
      given.pipe(answer);
    });
    asked.on('error', () => answer.destroy());
    asked.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    open();
    server.closeAllConnections();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, open };
}

test('an image is pulled, shown on its way, kept while VMs need it, and removed', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'chromium')) return;
  if (!requireCapability(t, 'mke2fs', 'skopeo', 'docker-registry')) return;
  keepLinksQuiet();
  const registry = await startRegistry(t);
  const gate = await startGate(t, registry);
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_MEDIA_HOSTS: gate.host,
    VOLANT_REGISTRY_INSECURE: gate.host,
  });
  const layout = join(daemon.home, 'images/web');
  writeLayout(layout, busyboxImage());
  registry.push(`oci:${layout}`, 'web:1');
  const name = `${gate.host}/web:1`;
  const { page, complaints } = await openDashboard(t, daemon.url, undefined, {}, '/images');
  await page.waitForSelector('text="There are none on this host."');

  const field = page.getByRole('textbox', { name: 'Image', exact: true });
  // By keys alone. What the daemon does not take is told at its field.
  await field.focus();
  await page.keyboard.type('No Name');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'must be' }).waitFor();
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  await page.getByRole('button', { name: 'Dismiss' }).press('Enter');
  await field.fill(name);
  await page.keyboard.press('Enter');
  await page.waitForSelector(`.toast-busy >> text=${name}`);
  await page.getByRole('progressbar', { name: `Pulled of ${name}` }).waitFor();
  const row = page.locator('tr', { hasText: 'sha256:' });
  // The message stays for some seconds only.
  const told = page.waitForSelector(`.toast-done >> text="${name} is on this host"`);
  gate.open();
  await Promise.all([told, row.filter({ hasText: name }).waitFor()]);
  await page.getByRole('progressbar').waitFor({ state: 'detached' });
  assert.equal(await field.inputValue(), '');
  await page.waitForSelector(`.timeline li:has-text("${name}") >> text="ready"`);
  assert.equal(await page.locator('.timeline li').count(), 1, 'one download, by its latest event');

  const resources = { cpu_cores: 1, memory_mb: 128 };
  await daemon.call('POST', '/api/v1/plugins', { name: 'web', image: name, resources });
  await daemon.createVm('one', { plugin: 'web' });
  await row.filter({ hasText: 'by VMs' }).waitFor();
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: `Remove ${name}` }).click();
  await dialog.getByRole('button', { name: 'Remove' }).click();
  await page.waitForSelector('.toast-bad >> text=/VMs are made of the image/');
  const images = async () => (await daemon.call('GET', '/api/v1/images')).body.images;
  assert.equal((await images()).length, 1);

  await daemon.call('DELETE', '/api/v1/vms/one');
  await page.getByRole('button', { name: `Remove ${name}` }).click();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await images()).length, 1, 'nothing happens without a yes');
  await page.getByRole('button', { name: `Remove ${name}` }).click();
  await dialog.getByRole('button', { name: 'Remove' }).click();
  await page.waitForSelector('text="There are none on this host."');
  assert.deepEqual(await images(), []);
  // A browser tells of the two refusals.
  assert.deepEqual(
    complaints.filter((text) => !/status of (400|409)/.test(text)),
    [],
  );
});
