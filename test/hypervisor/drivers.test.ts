// What holds for every driver of the table, and how quirks of versions are chosen.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { bootsGuests, DRIVER_NAMES, driverOf } from '../../src/config/drivers.ts';
import { loadConfig } from '../../src/config.ts';
import type { LaunchSpec } from '../../src/engine/ports/hypervisor-ports.ts';
import type { DriverHost } from '../../src/hypervisor/drivers/driver.ts';
import { DRIVERS } from '../../src/hypervisor/drivers/drivers.ts';
import { type Quirk, traitsOf } from '../../src/hypervisor/drivers/quirks.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { silentLog } from '../engine/fakes.ts';

const SPEC: LaunchSpec = {
  vmId: 7,
  name: 'web',
  machine: 'microvm',
  cpuCores: 1,
  memoryMb: 128,
  kernelPath: '/k/vmlinux',
  initramfsPath: null,
  kernelCmdline: 'console=ttyS0',
  disks: [],
  network: { tapName: 'vtabcd-7', macAddress: '02:ab:00:00:00:07' },
  vsockCid: null,
  pciDevices: [],
  runDirectory: '/run/7',
};

/** A host where everything is that is looked for. */
const FULL_HOST: DriverHost = {
  choice: 'auto',
  find: (program) => `/usr/bin/${program}`,
  isExecutable: () => true,
  exists: () => true,
  findBuilt: (path) => `/opt/volant/${path}`,
  outputOf: (_, [option]) => (option === '--version' ? 'version 9.1.2 (x)' : '/usr/share/x\n'),
  chooseAccelerator: ({ argv }) => {
    assert.ok(argv('/k/vmlinux').includes('/k/vmlinux'));
    return { accelerator: 'tcg', reason: 'the test says so', kvmTrial: null };
  },
  tscKhz: () => 1_000_000,
};

for (const name of DRIVER_NAMES) {
  suite(`driver ${name}`, () => {
    const driver = DRIVERS[name];

    test('is chosen by its name', () => {
      assert.equal(driverOf(loadConfig({ VOLANT_HYPERVISOR: name }).hypervisor), name);
    });

    test('finds its hypervisor, says that it is this driver, and names the version', () => {
      const facts = driver.facts(FULL_HOST);
      assert.deepEqual([facts.driver, facts.version], [name, '9.1.2']);
      assert.match(facts.executable, /^\//);
    });

    test('says what to do where its hypervisor is missing', () => {
      const host = { ...FULL_HOST, find: () => null, findBuilt: () => null };
      assert.throws(
        () => driver.facts(host),
        (error) =>
          error instanceof VolantError &&
          error.code === 'HYPERVISOR_MISSING' &&
          /install|run `/.test(error.message),
      );
    });

    test('mentions the run directory twice: recovery knows its process by that', () => {
      const { executable, argv } = driver.command(SPEC, driver.facts(FULL_HOST));
      assert.equal(executable, driver.facts(FULL_HOST).executable);
      const mentions = argv.filter((argument) => argument.includes(SPEC.runDirectory));
      assert.ok(mentions.length >= 2, argv.join(' '));
    });

    test('takes an end in good order, and a silent one, for what they are', () => {
      assert.equal(driver.hasBrokenClock({ code: 0, signal: null }), false);
      assert.equal(driver.hasBrokenClock({ code: null, signal: 'SIGKILL' }), false);
      assert.equal(driver.complaintIn([]), null);
    });

    test('has an agent where it boots guests', () => {
      const agent = driver.agent('/run/7', { log: silentLog, tunnelsMax: 1 });
      assert.equal(agent !== null, bootsGuests(name));
      agent?.close();
    });
  });
}

suite('quirks', () => {
  const usual = { bus: 'new', firmware: 'a.rom' };
  const quirks: readonly Quirk<typeof usual>[] = [
    { from: [0, 0], before: [8, 0], seen: '7.2 has no new bus.', traits: { bus: 'old' } },
    { from: [9, 1], seen: '9.1 needs another file.', traits: { firmware: 'b.rom' } },
    { from: [9, 1], before: [9, 2], seen: '9.1.0 has no bus.', traits: { bus: 'none' } },
  ];
  const rows: readonly [version: string, bus: string, firmware: string][] = [
    ['6.2.0', 'old', 'a.rom'],
    ['7.2.22 (Debian 1:7.2+dfsg-7)', 'old', 'a.rom'],
    ['8.0.0', 'new', 'a.rom'],
    ['9.0.4', 'new', 'a.rom'],
    ['9.1.0', 'none', 'b.rom'],
    ['9.10.0', 'new', 'b.rom'],
    ['10.0.13', 'new', 'b.rom'],
    ['unknown', 'new', 'b.rom'],
  ];
  for (const [version, bus, firmware] of rows) {
    test(`of version ${version}`, () => {
      assert.deepEqual(traitsOf(usual, quirks, version), { bus, firmware });
    });
  }
});
