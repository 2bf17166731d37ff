// e2e: the promises of the README: one command to a running VM, without effect when repeated, one command to end the
// daemon, and one to leave nothing behind.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { createPrivateHost, type PrivateHost } from './private-host.ts';

interface VmBody {
  readonly id: number;
  readonly pid: number;
  readonly status: string;
  readonly ip_address: string;
}

/** Without what is asked of it repeatedly. */
async function getVm(host: PrivateHost): Promise<VmBody> {
  const { output } = await host.run('curl', '-fsS', 'http://127.0.0.1:7777/api/v1/vms/hello');
  const { conditions: _, workload: __, ...vm } = JSON.parse(output);
  return vm;
}

const pidOf = (output: string) => Number(/daemon .*pid (\d+)/.exec(output)?.[1]);

test('up, up again, down, up, down --all', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const host = createPrivateHost(t);

  const first = await host.script('up.mjs');
  assert.equal(first.status, 0, first.output);
  assert.match(first.output, /"message": "Hello from inside a microVM"/);
  assert.match(first.output, /"name": "hello"/);
  assert.doesNotMatch(first.output, /"healthy": (null|false)/, 'both answers are of one moment');
  const vm = await getVm(host);
  assert.equal(vm.status, 'running');
  assert.equal(vm.ip_address, '192.168.127.10');

  const second = await host.script('up.mjs');
  assert.equal(second.status, 0, second.output);
  assert.equal(pidOf(second.output), pidOf(first.output), 'the same daemon');
  assert.deepEqual(await getVm(host), vm, 'the same VM, untouched');

  const down = await host.script('down.mjs');
  assert.equal(down.status, 0, down.output);
  const guest = await host.run('curl', '-fsS', `http://${vm.ip_address}:8080/v1/`);
  assert.match(guest.output, /Hello from inside/, 'the guest answers without a daemon');

  const again = await host.script('up.mjs');
  assert.equal(again.status, 0, again.output);
  assert.notEqual(pidOf(again.output), pidOf(first.output), 'a new daemon');
  const adopted = await getVm(host);
  assert.deepEqual([adopted.id, adopted.pid], [vm.id, vm.pid], 'with the VM that ran on');

  writeFileSync(join(host.home, 'images/own.cpio'), 'an image of the user');
  const all = await host.script('down.mjs', '--all');
  assert.equal(all.status, 0, all.output);
  assert.match(all.output, /kept other files: images\/own\.cpio/);
  assert.deepEqual(readdirSync(host.home), ['images']);
  await untilPasses(() => assert.deepEqual(host.processes(), [], 'no process is left'));
  const links = await host.run('ip', '-o', 'link');
  assert.equal(links.output.trim().split('\n').length, 1, `only lo is left: ${links.output}`);
  const tables = await host.run('nft', 'list', 'tables');
  assert.equal(tables.output.trim(), '', 'no table is left');

  const nothing = await host.script('down.mjs', '--all');
  assert.equal(nothing.status, 0, nothing.output);
  assert.ok(existsSync(join(host.home, 'images/own.cpio')));
});

/**
 * A QEMU that gives its firmware nothing to boot: the real one, on the machine whose firmware writes to the serial port.
 * The daemon's other questions are answered by the real one as they are.
 */
const WITHOUT_KERNEL = `#!/bin/bash
[[ " $* " == *" -kernel "* ]] || exec /usr/bin/qemu-system-x86_64 "$@"
kept=()
while (( $# > 0 )); do
  case $1 in
    -name|-smp|-m|-pidfile|-chardev|-qmp|-mon|-serial|-sandbox|-accel) kept+=("$1" "$2"); shift 2;;
    -nodefaults|-no-user-config|-nographic|-no-reboot) kept+=("$1"); shift;;
    *) shift 2;;
  esac
done
exec /usr/bin/qemu-system-x86_64 -M q35 -bios bios-256k.bin "\${kept[@]}"
`;

test('a guest that finds nothing to boot is no success', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const host = createPrivateHost(t);
  const directory = mkdtempSync(join(tmpdir(), 'volant-qemu-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const qemu = join(directory, 'qemu-without-kernel');
  writeFileSync(qemu, WITHOUT_KERNEL, { mode: 0o755 });
  const settings = [`VOLANT_HYPERVISOR=${qemu}`, 'VOLANT_ACCELERATOR=tcg'];
  for (const round of ['first', 'again']) {
    const { status, output } = await host.run(
      'env',
      ...settings,
      process.execPath,
      'scripts/up.mjs',
    );
    assert.equal(status, 1, output);
    assert.match(output, /✗ guest/, round);
    assert.match(output, /The guest of VM hello does not boot: its firmware finds nothing/);
    assert.match(output, /\| No bootable device/);
    assert.match(output, /VOLANT_KERNEL_VMLINUX/);
    assert.match(output, /curl -X DELETE http:\/\/127\.0\.0\.1:7777\/api\/v1\/vms\/hello/);
    assert.doesNotMatch(output, /Try next/);
    assert.equal((await getVm(host)).status, 'running', 'what the status says is not enough');
  }
  const down = await host.script('down.mjs', '--all');
  assert.equal(down.status, 0, down.output);
  await untilPasses(() => assert.deepEqual(host.processes(), []));
});

test('a start that fails says why and leaves no daemon', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const host = createPrivateHost(t);
  const { status, output } = await host.run(
    'env',
    'VOLANT_BRIDGE=a-name-that-is-too-long',
    process.execPath,
    'scripts/up.mjs',
  );
  assert.equal(status, 1, output);
  assert.match(output, /VOLANT_BRIDGE: use 1 to 15/);
  await untilPasses(() => assert.deepEqual(host.processes(), []));
});
