// e2e: the commands of the guides, run exactly as they are printed, page by page. A block that begins with "sh run" is
// meant to be pasted, and is run here.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';
import { createPrivateHost } from './private-host.ts';

function commandsOf(page: string): string {
  const text = readFileSync(`${PROJECT_ROOT}${page}`, 'utf8');
  const blocks = [...text.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
  assert.ok(blocks.length > 0, `${page} has commands`);
  return blocks.join('\n');
}

test('every command of the guides works when pasted', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const host = createPrivateHost(t);
  const up = await host.script('up.mjs');
  assert.equal(up.status, 0, up.output);
  const checkout = readdirSync(PROJECT_ROOT);
  const paste = (page: string, ...flags: string[]) =>
    host.run('bash', ...flags, '-uc', commandsOf(page));

  await t.test('quick start', async () => {
    const { status, output } = await paste('docs/quick-start.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /"hypervisor":/);
    assert.match(output, /Hello from inside a microVM/);
  });

  await t.test('the tour of the first page', async () => {
    const { output } = await paste('README.md');
    assert.match(output, /"name": "tour"/, 'the guest says its name');
    assert.match(output, /^event: VM_CREATED$/m);
    assert.match(output, /"status":"stopped"/);
    assert.doesNotMatch(output, /"code":"[A-Z]/, 'no command is answered with an error');
  });

  await t.test('the page of the API', async () => {
    const { output } = await paste('docs/api.md');
    assert.match(output, /x-total-count: 2/i);
    assert.match(output, /^event: VM_DELETED$/m);
    assert.doesNotMatch(output, /"code":"[A-Z]/, 'no command is answered with an error');
  });

  await t.test('the plugin guide', async () => {
    const { status, output } = await paste('docs/plugins.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /Good morning from morning/);
    assert.match(output, /PLUGIN_DISABLED/);
    assert.equal(existsSync('/tmp/greeter'), false, 'the guide cleans up');
  });

  await t.test('the page of metrics', async () => {
    const { status, output } = await paste('docs/metrics.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /"running":true/);
    assert.match(output, /VMs run, CPU/);
  });

  await t.test('the page of programs in guests', async () => {
    const { status, output } = await paste('docs/exec.md');
    assert.equal(status, 0, output);
    assert.match(output, /the guest got: from the host/);
    assert.match(output, /hello from \/tmp, user 1000/);
    assert.match(output, /the status is 3/);
    assert.match(output, /"stdout":"out\\n","stderr":"err\\n"/);
    assert.match(output, /"stdin_bytes":10/);
    assert.match(output, /^event: end$/m);
    assert.doesNotMatch(output, /"code":"[A-Z]/, 'no command is answered with an error');
  });

  await t.test('the page of jobs', async () => {
    const { status, output } = await paste('docs/jobs.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /"status":"stopped".*"exit_code":7,"exit_signal":null/);
    assert.match(output, /42\r?\n/);
  });

  await t.test('the page of the metadata service', async () => {
    const { status, output } = await paste('docs/metadata-service.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /"body":"one-count: 42 words"/);
  });

  await t.test('the page of the command line', async () => {
    const { status, output } = await paste('docs/volar.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /one +deleted/);
  });

  await t.test('the page of agents', async () => {
    const { status, output } = await paste('docs/mcp.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /"name":"volant\.vms\.create"/);
  });

  await t.test('the page of images and disks', async () => {
    const { status, output } = await paste('docs/images-and-disks.md', '-e');
    assert.equal(status, 0, output);
    assert.match(output, /Hello from a root disk/);
    assert.equal(existsSync('/tmp/my-system'), false, 'the page cleans up');
  });

  await t.test('the page of keys', async () => {
    // In the home of the daemon the file would close the API to everything here.
    const directory = mkdtempSync(join(tmpdir(), 'volant-keys-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const setting = `VOLANT_API_KEYS_FILE=${directory}/keys.json`;
    const { status, output } = await host.run(
      'env',
      setting,
      'bash',
      '-euc',
      commandsOf('docs/keys.md'),
    );
    assert.equal(status, 0, output);
    assert.match(output, /ci-/);
  });

  const down = await host.script('down.mjs', '--all');
  assert.equal(down.status, 0, down.output);
  assert.equal(existsSync(host.home), false, 'the home is gone');
  assert.deepEqual(readdirSync(PROJECT_ROOT), checkout, 'no command leaves a file in the checkout');
});
