// hypervisor: LaunchSpec -> the command line of QEMU. Pure. Two machines: `microvm` for fleets, `q35`
// where a VM needs PCI. How the command is run and what it answers is known elsewhere.

import type {
  HypervisorComplaint,
  HypervisorFacts,
  LaunchSpec,
  ProcessExit,
} from '../engine/ports.ts';
import { RUN_FILES, TAP_DESCRIPTOR } from '../engine/ports.ts';
import { qemuVersion } from './qemu-versions.ts';

/** The name of the port that the guest's agent looks for. */
const AGENT_PORT = 'volant.agent';

/**
 * A guest that writes a byte to this port ends the hypervisor with status 2 * byte + 1 (QEMU, hw/misc/debugexit.c).
 * The agent does so when it finds that the guest's clock is broken; native/guest/clock.c has the same numbers.
 */
const EXIT_PORT = 0xf4;
const BROKEN_CLOCK_BYTE = 0x56;

/** Translated code that TCG keeps, in MiB: more does not make a guest faster, less makes it slower. */
const TCG_CACHE_MB = 32;

export function qemuCommand(
  spec: LaunchSpec,
  facts: HypervisorFacts,
): { executable: string; argv: readonly string[] } {
  const device = deviceNames(spec.machine);
  const kvm = facts.accelerator === 'kvm';
  const { machines, firmware } = qemuVersion(facts.version);
  const argv = [
    ['-name', `${escaped(spec.name)},process=volant-${spec.vmId}`],
    ['-M', machines[spec.machine]],
    ['-bios', firmware[spec.machine]],
    ['-accel', kvm ? 'kvm' : `tcg,tb-size=${TCG_CACHE_MB}`],
    // Without arat the timer of an idle guest goes on ticking and costs 4 % of a core.
    ['-cpu', kvm ? 'host' : 'qemu64,+rdrand,+arat'],
    ['-smp', String(spec.cpuCores)],
    ['-m', String(spec.memoryMb)],
    ['-nodefaults', '-no-user-config', '-nographic', '-no-reboot'],
    ['-kernel', spec.kernelPath],
    spec.initramfsPath === null ? [] : ['-initrd', spec.initramfsPath],
    ['-append', spec.kernelCmdline],
    ['-pidfile', `${spec.runDirectory}/${RUN_FILES.pidFile}`],
    controlArguments(spec),
    serialArguments(spec),
    agentArguments(spec, device.serialBus),
    networkArguments(spec, device.network),
    spec.vsockCid === null ? [] : ['-device', `${device.vsock},guest-cid=${spec.vsockCid}`],
    spec.disks.flatMap((disk, index) => diskArguments(disk, index, device.disk)),
    ['-device', device.entropy],
    ['-device', `isa-debug-exit,iobase=${EXIT_PORT},iosize=1`],
    spec.pciDevices.flatMap((address) => ['-device', `vfio-pci,host=${address}`]),
    // No exec:, no setuid, no new privileges: what a guest breaks into can do little.
    ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ].flat();
  return { executable: facts.executable, argv };
}

/** Whether a guest ended its machine because its clock is broken. A guest that says so at another time is not believed. */
export function hasBrokenClock({ code }: ProcessExit): boolean {
  return code === 2 * BROKEN_CLOCK_BYTE + 1;
}

/** The kernel refuses a vsock address that another process has (drivers/vhost/vsock.c). */
export function complaintIn(lines: readonly string[]): HypervisorComplaint | null {
  const isTaken = (line: string) => /unable to set guest cid: Address already in use/.test(line);
  return lines.some(isTaken) ? 'cid-taken' : null;
}

interface DeviceNames {
  readonly network: string;
  readonly disk: string;
  readonly serialBus: string;
  readonly entropy: string;
  readonly vsock: string;
}

/** microvm has virtio over MMIO, q35 over PCI; an option ROM for network boot would cost boot time. */
function deviceNames(kind: LaunchSpec['machine']): DeviceNames {
  const bus = kind === 'microvm' ? 'device' : 'pci';
  return {
    network: kind === 'microvm' ? 'virtio-net-device' : 'virtio-net-pci,romfile=',
    disk: `virtio-blk-${bus}`,
    serialBus: `virtio-serial-${bus}`,
    entropy: `virtio-rng-${bus}`,
    vsock: `vhost-vsock-${bus}`,
  };
}

function controlArguments({ runDirectory }: LaunchSpec): string[] {
  const path = escaped(`${runDirectory}/${RUN_FILES.control}`);
  return [
    '-chardev',
    `socket,id=control,path=${path},server=on,wait=off`,
    '-mon',
    'chardev=control,mode=control',
  ];
}

/** QEMU itself keeps the log: nothing is lost while no daemon runs. */
function serialArguments({ runDirectory }: LaunchSpec): string[] {
  const path = escaped(`${runDirectory}/${RUN_FILES.serial}`);
  const log = escaped(`${runDirectory}/${RUN_FILES.consoleLog}`);
  return [
    '-chardev',
    `socket,id=serial,path=${path},server=on,wait=off,logfile=${log},logappend=on`,
    '-serial',
    'chardev:serial',
  ];
}

function agentArguments({ runDirectory }: LaunchSpec, bus: string): string[] {
  const path = escaped(`${runDirectory}/${RUN_FILES.agent}`);
  return [
    '-chardev',
    `socket,id=agent,path=${path},server=on,wait=off`,
    '-device',
    bus,
    '-device',
    `virtserialport,chardev=agent,name=${AGENT_PORT}`,
  ];
}

function networkArguments({ network }: LaunchSpec, device: string): string[] {
  if (network === null) return [];
  const { macAddress } = network;
  return [
    '-netdev',
    `tap,id=net0,fd=${TAP_DESCRIPTOR}`,
    '-device',
    `${device},netdev=net0,mac=${macAddress}`,
  ];
}

function diskArguments(disk: LaunchSpec['disks'][number], index: number, device: string): string[] {
  const id = `disk${index}`;
  const readonly = disk.readonly ? 'on' : 'off';
  return [
    '-drive',
    `if=none,id=${id},file=${escaped(disk.path)},format=${disk.format},readonly=${readonly}`,
    '-device',
    `${device},drive=${id},serial=${escaped(disk.serial)}`,
  ];
}

/** In a list of options a comma ends a value; doubled it stands for itself. */
function escaped(value: string): string {
  return value.replaceAll(',', ',,');
}
