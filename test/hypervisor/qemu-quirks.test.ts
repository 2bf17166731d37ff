// The QEMU that is installed takes the driver's whole command line without a word of complaint, has the firmware
// that the table names, and a QEMU without it is refused before anything is launched.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import type { LaunchSpec } from '../../src/engine/ports/hypervisor-ports.ts';
import type { HypervisorFacts } from '../../src/engine/ports/process-ports.ts';
import { probeHypervisor } from '../../src/host/jobs/process/probe.ts';
import type { HostSettings } from '../../src/host/jobs/protocol.ts';
import { DRIVERS } from '../../src/hypervisor/drivers/drivers.ts';
import { QEMU_QUIRKS, QEMU_TRAITS, qemuTraits } from '../../src/hypervisor/drivers/qemu-quirks.ts';
import { connectQmp } from '../../src/hypervisor/qmp.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { IMAGES, requireCapability } from '../helpers/capabilities.ts';

const START_TIMEOUT_MS = 60_000;

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'volant-qemu-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function probed(hypervisor: HostSettings['hypervisor']): HypervisorFacts {
  const settings = { hypervisor, accelerator: 'tcg' } as HostSettings;
  const known = { trials: {}, mayTryAgain: false, nowMs: 0 };
  return probeHypervisor({ settings, known }).facts;
}

/** Every device that needs nothing of the host but files. */
function specIn(directory: string, machine: LaunchSpec['machine']): LaunchSpec {
  const disk = join(directory, 'disk.img');
  writeFileSync(disk, Buffer.alloc(1024 * 1024));
  return {
    vmId: 7,
    name: 'a,b',
    machine,
    cpuCores: 2,
    memoryMb: 128,
    kernelPath: join(IMAGES, 'vmlinux'),
    initramfsPath: join(IMAGES, 'hello.cpio'),
    kernelCmdline: 'console=ttyS0',
    disks: [{ path: disk, basePath: null, format: 'raw', readonly: false, serial: 'first' }],
    network: null,
    vsockCid: null,
    pciDevices: [],
    runDirectory: directory,
  };
}

/** Starts QEMU without letting its guest run, talks to it, and returns what it wrote to its standard error. */
async function startedPaused(spec: LaunchSpec, facts: HypervisorFacts): Promise<string> {
  const { executable, argv: given } = DRIVERS.qemu.command(spec, facts);
  // The daemon gives it a socket that listens already.
  const path = join(spec.runDirectory, 'control.sock');
  const argv = given.map((part) => part.replace('id=control,fd=4', `id=control,path=${path}`));
  const child = spawn(executable, [...argv, '-S'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), START_TIMEOUT_MS);
  const ended = once(child, 'close').then(() => deadline.abort());
  try {
    const connection = await connectQmp(path, deadline.signal);
    connection.close();
  } catch (error) {
    throw new Error(`QEMU did not answer: ${complaint}`, { cause: error });
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await ended;
  }
  return complaint;
}

suite('versions of QEMU', () => {
  test('every firmware file of every version has its package, and every quirk says what was seen', () => {
    const changes = QEMU_QUIRKS.map(({ traits }) => ({ ...QEMU_TRAITS, ...traits }));
    for (const { firmware, firmwarePackages } of [QEMU_TRAITS, ...changes]) {
      for (const file of Object.values(firmware)) assert.ok(firmwarePackages[file], file);
    }
    for (const { seen } of QEMU_QUIRKS) assert.match(seen, /\d+\.\d+.*\.$/);
  });

  for (const machine of ['microvm', 'q35'] as const) {
    test(`the installed QEMU takes the whole command line for ${machine} and warns of nothing`, async (t) => {
      if (!requireCapability(t, 'qemu', 'kernel')) return;
      const complaint = await startedPaused(specIn(directoryOf(t), machine), probed('auto'));
      assert.equal(complaint, '');
    });
  }

  test('the probe knows where QEMU has its firmware', (t) => {
    if (!requireCapability(t, 'qemu')) return;
    const { dataDirectories, version } = probed('auto');
    const { firmware } = qemuTraits(version);
    for (const file of Object.values(firmware)) {
      assert.ok(
        dataDirectories.some((directory) => existsSync(join(directory, file))),
        file,
      );
    }
  });

  test('a QEMU without its firmware is refused with what to install', (t) => {
    const directory = directoryOf(t);
    const data = join(directory, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'bios-256k.bin'), '');
    const path = join(directory, 'qemu');
    const script = `#!/bin/sh
case "$1" in
  --version) echo 'QEMU emulator version 10.0.13' ;;
  -L) echo '${data}'; echo '${directory}/absent' ;;
esac
`;
    writeFileSync(path, script, { mode: 0o755 });
    const isRefused = (error: unknown) =>
      error instanceof VolantError &&
      error.code === 'HYPERVISOR_MISSING' &&
      /lacks its firmware qboot\.rom .* install the package qemu-system-data$/.test(error.message);
    assert.throws(() => probed({ path }), isRefused);
    writeFileSync(join(data, 'qboot.rom'), '');
    assert.deepEqual(probed({ path }).dataDirectories, [data]);
  });
});
