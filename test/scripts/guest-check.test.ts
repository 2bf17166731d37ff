// scripts: a guest that will not boot is reported with its console output; one that still may is waited for.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadScript } from './load.ts';

interface Trouble {
  readonly reason: string;
  readonly remedy: string;
}

interface VmBody {
  readonly name: string;
  readonly status: string;
  readonly status_reason?: string;
  readonly serial_socket: string;
}

const { consolePath, describeTrouble, lastLines, readConsole, silenceOf, troubleOf } =
  await loadScript<{
    consolePath(vm: VmBody): string;
    readConsole(path: string): string;
    troubleOf(vm: VmBody, console: string): Trouble | null;
    silenceOf(console: string, last: string, seconds: number): Trouble;
    lastLines(console: string): string[];
    describeTrouble(trouble: Trouble, vm: VmBody, console: string, next: string): string;
  }>('lib/guest/guest-check.mjs');

const RUNNING = { name: 'hello', status: 'running', serial_socket: '/run/1/serial.sock' };
/** What SeaBIOS 1.16.2 writes to a serial port. */
const FIRMWARE =
  '\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2)\r\nBooting from Hard Disk...\r\n' +
  'Boot failed: could not read the boot disk\r\n\n\nNo bootable device.\r\n';
const PANIC =
  '[    1.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n';

test('a guest that runs is waited for, whatever it says meanwhile', () => {
  for (const said of ['', 'SeaBIOS (version 1.16.2)\r\n', 'Booting from ROM..\r\n', 'panic=-1 ']) {
    assert.equal(troubleOf(RUNNING, said), null);
  }
  assert.equal(troubleOf({ ...RUNNING, status: 'starting' }, ''), null);
});

test('a guest that found nothing to boot, or whose kernel gave up, is not waited for', () => {
  assert.match(troubleOf(RUNNING, FIRMWARE)?.reason ?? '', /firmware finds nothing to boot/);
  assert.match(troubleOf(RUNNING, PANIC)?.reason ?? '', /kernel gave up/);
  for (const status of ['crashed', 'stopped', 'stopping', 'deleting']) {
    assert.match(troubleOf({ ...RUNNING, status }, '')?.reason ?? '', new RegExp(status));
  }
  const told = troubleOf({ ...RUNNING, status: 'crashed', status_reason: 'signal 9' }, '');
  assert.match(told?.reason ?? '', /crashed \(signal 9\)/);
});

test('at the end of the wait, silence and a workload that does not answer are two things', () => {
  assert.match(silenceOf('\r\n', 'refused', 60).reason, /printed nothing .* 60 s/);
  assert.match(silenceOf('volant-agent: up\r\n', 'refused', 60).reason, /last: refused/);
});

test('the last lines are shown, and do nothing to a terminal', () => {
  const shown = lastLines(`${FIRMWARE}\x1b]0;title\x07\x9b31m\x00tail`);
  assert.ok(shown.includes('No bootable device.'));
  assert.ok(
    shown.every((line) => /^[\x20-\x7e]*$/.test(line)),
    JSON.stringify(shown),
  );
  assert.ok(lastLines('x\n'.repeat(100)).length < 20);
  assert.equal(lastLines('x'.repeat(5_000))[0]?.length, 200);
  const text = describeTrouble({ reason: 'why', remedy: 'Do' }, RUNNING, FIRMWARE, 'Next.');
  assert.match(text, /^The guest of VM hello does not boot: why\.\n.*\/run\/1\/console\.log:\n/);
  assert.match(text, /\n {2}\| No bootable device\.\nDo\. Next\.$/);
  assert.match(describeTrouble({ reason: '', remedy: '' }, RUNNING, '', ''), /is empty/);
});

test('a console is read from its end, and one that is not there yet is empty', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volant-console-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = consolePath({ ...RUNNING, serial_socket: join(directory, 'serial.sock') });
  assert.equal(readConsole(path), '');
  writeFileSync(path, `${'x'.repeat(300_000)}\nthe end`);
  assert.match(readConsole(path), /\nthe end$/);
  assert.ok(readConsole(path).length <= 64 * 1024);
});
