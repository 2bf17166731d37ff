// What a guest relies on: the flags that decide whether it hangs, burns a core, or is reachable.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { LaunchSpec } from '../../src/engine/ports/hypervisor-ports.ts';
import type { HypervisorFacts } from '../../src/engine/ports/process-ports.ts';
import { DRIVERS } from '../../src/hypervisor/drivers/drivers.ts';

const qemuCommand = DRIVERS.qemu.command;

const FACTS: HypervisorFacts = {
  driver: 'qemu',
  executable: '/usr/bin/qemu-system-x86_64',
  version: '7.2',
  accelerator: 'tcg',
  reason: '',
  kvmTrial: null,
  tscKhz: 1,
  vhostVsock: false,
  dataDirectories: [],
};

const SPEC: LaunchSpec = {
  vmId: 7,
  name: 'web',
  machine: 'microvm',
  cpuCores: 2,
  memoryMb: 128,
  kernelPath: '/k/vmlinux',
  initramfsPath: '/i/web.cpio',
  kernelCmdline: 'console=ttyS0 a=b',
  disks: [],
  network: { tapName: 'vtabcd-7', macAddress: '02:ab:00:00:00:07' },
  vsockCid: null,
  pciDevices: [],
  runDirectory: '/run/7',
};

/** The value behind an option; every value for an option that is repeated. */
function valuesOf(argv: readonly string[], option: string): string[] {
  return argv.flatMap((item, index) => (item === option ? [argv[index + 1] ?? ''] : []));
}

suite('QEMU command line', () => {
  test('microvm under TCG: no timers that hang, no tick that burns a core', () => {
    const { executable, argv } = qemuCommand(SPEC, FACTS);
    assert.equal(executable, FACTS.executable);
    assert.match(valuesOf(argv, '-M')[0] ?? '', /^microvm,pit=off,pic=off,.*acpi=on/);
    assert.deepEqual(valuesOf(argv, '-cpu'), ['qemu64,+rdrand,+arat']);
    assert.deepEqual(valuesOf(argv, '-accel'), ['tcg,tb-size=20']);
    const large = qemuCommand({ ...SPEC, memoryMb: 256 }, FACTS).argv;
    assert.deepEqual(valuesOf(large, '-accel'), ['tcg,tb-size=32']);
    assert.deepEqual(valuesOf(argv, '-smp'), ['2']);
    assert.deepEqual(valuesOf(argv, '-m'), ['128']);
    assert.deepEqual(valuesOf(argv, '-append'), [SPEC.kernelCmdline]);
    assert.ok(argv.includes('-no-reboot'));
    assert.ok(valuesOf(argv, '-netdev')[0]?.includes('fd=3'));
    assert.ok(
      valuesOf(argv, '-device').includes('virtio-net-device,netdev=net0,mac=02:ab:00:00:00:07'),
    );
    assert.deepEqual(valuesOf(argv, '-pidfile'), ['/run/7/hypervisor.pid']);
  });

  test('a guest has a vsock device where it has a CID', () => {
    const devices = (spec: LaunchSpec) => valuesOf(qemuCommand(spec, FACTS).argv, '-device');
    assert.ok(!devices(SPEC).some((device) => device.includes('vsock')));
    assert.ok(devices({ ...SPEC, vsockCid: 9 }).includes('vhost-vsock-device,guest-cid=9'));
    const q35 = devices({ ...SPEC, machine: 'q35', vsockCid: 9 });
    assert.ok(q35.includes('vhost-vsock-pci,guest-cid=9'));
  });

  test('q35 has PCI devices without network boot', () => {
    const { argv } = qemuCommand({ ...SPEC, machine: 'q35' }, FACTS);
    assert.match(valuesOf(argv, '-M')[0] ?? '', /^q35,/);
    assert.ok(
      valuesOf(argv, '-device').some((value) => value.startsWith('virtio-net-pci,romfile=,')),
    );
  });

  test('a passed-through device is named by its address', () => {
    const spec: LaunchSpec = { ...SPEC, machine: 'q35', pciDevices: ['0000:01:00.0'] };
    const { argv } = qemuCommand(spec, FACTS);
    assert.ok(valuesOf(argv, '-device').includes('vfio-pci,host=0000:01:00.0'));
  });

  test('KVM passes the host’s CPU through', () => {
    const { argv } = qemuCommand(SPEC, { ...FACTS, accelerator: 'kvm' });
    assert.deepEqual([valuesOf(argv, '-accel'), valuesOf(argv, '-cpu')], [['kvm'], ['host']]);
  });

  test('commas in paths do not become options', () => {
    const disk = {
      path: '/a,readonly=on',
      basePath: null,
      format: 'raw',
      readonly: false,
      serial: 's,x',
    } as const;
    const { argv } = qemuCommand({ ...SPEC, runDirectory: '/a,b', disks: [disk] }, FACTS);
    assert.ok(valuesOf(argv, '-drive')[0]?.includes('file=/a,,readonly=on,'));
    const [control, ...others] = valuesOf(argv, '-chardev');
    assert.equal(control, 'socket,id=control,fd=4,server=on,wait=off');
    for (const chardev of others) assert.match(chardev, /path=\/a,,b\//);
  });

  test('without a network there is no card', () => {
    const { argv } = qemuCommand({ ...SPEC, network: null }, FACTS);
    assert.deepEqual(valuesOf(argv, '-netdev'), []);
    assert.ok(!argv.some((item) => item.includes('virtio-net')));
  });

  test('the simulator gets its run directory, name, tap and control socket', () => {
    const { argv } = DRIVERS.simulator.command(SPEC, FACTS);
    assert.deepEqual(valuesOf(argv, '--run-directory'), ['/run/7']);
    assert.deepEqual(valuesOf(argv, '--tap-descriptor'), ['3']);
    assert.deepEqual(valuesOf(argv, '--control-descriptor'), ['4']);
  });
});
