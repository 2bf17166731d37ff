// hypervisor: LaunchSpec -> the command line of QEMU. Pure. There are two machines: `microvm`, and `q35` for VMs that
// need PCI. The process is launched by host/jobs/process; the control socket is in qmp.ts.

import type { HypervisorComplaint, LaunchSpec } from '../../engine/ports/hypervisor-ports.ts';
import {
  CONTROL_DESCRIPTOR,
  RUN_FILES,
  TAP_DESCRIPTOR,
} from '../../engine/ports/hypervisor-ports.ts';
import type { HypervisorFacts, ProcessExit } from '../../engine/ports/process-ports.ts';
import type { HypervisorCommand } from './driver.ts';
import { qemuTraits } from './qemu-quirks.ts';

/** Name of the virtio-serial port that the guest's agent opens. */
const AGENT_PORT = 'volant.agent';

/**
 * A guest that writes a byte to this I/O port ends the hypervisor with status 2 * byte + 1 (QEMU,
 * hw/misc/debugexit.c). The agent does so when the guest's clock is broken; native/guest/system/clock.c has the same
 * numbers.
 */
const EXIT_PORT = 0xf4;
const BROKEN_CLOCK_BYTE = 0x56;

/**
 * Size of TCG's translation cache in MiB. A larger one does not make guests faster, a smaller one makes them slower.
 */
const TCG_CACHE_MB = 32;
const SMALL_TCG_CACHE_MB = 20;

/** A guest with less memory than this, in MiB, has no room for programs with much code. */
const SMALL_GUEST_MB = 256;

/** Returns the executable and its arguments. */
export function qemuCommand(spec: LaunchSpec, facts: HypervisorFacts): HypervisorCommand {
  const device = deviceNames(spec.machine);
  const kvm = facts.accelerator === 'kvm';
  const { machines, firmware } = qemuTraits(facts.version);
  const argv = [
    ['-name', `${escaped(spec.name)},process=volant-${spec.vmId}`],
    ['-M', machines[spec.machine]],
    ['-bios', firmware[spec.machine]],
    ['-accel', kvm ? 'kvm' : `tcg,tb-size=${cacheMb(spec)}`],
    // Without arat the timer of an idle guest keeps ticking and costs 4 % of a core.
    ['-cpu', kvm ? 'host' : 'qemu64,+rdrand,+arat'],
    ['-smp', String(spec.cpuCores)],
    ['-m', String(spec.memoryMb)],
    ['-nodefaults', '-no-user-config', '-nographic', '-no-reboot'],
    ['-kernel', spec.kernelPath],
    spec.initramfsPath === null ? [] : ['-initrd', spec.initramfsPath],
    ['-append', spec.kernelCmdline],
    ['-pidfile', `${spec.runDirectory}/${RUN_FILES.pidFile}`],
    controlArguments(),
    serialArguments(spec),
    agentArguments(spec, device.serialBus),
    networkArguments(spec, device.network),
    spec.vsockCid === null ? [] : ['-device', `${device.vsock},guest-cid=${spec.vsockCid}`],
    spec.disks.flatMap((disk, index) => diskArguments(disk, index, device.disk)),
    ['-device', device.entropy],
    ['-device', `isa-debug-exit,iobase=${EXIT_PORT},iosize=1`],
    spec.pciDevices.flatMap((address) => ['-device', `vfio-pci,host=${address}`]),
    // No exec, no setuid, no new privileges: this limits what a guest can do that breaks out.
    ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ].flat();
  return { executable: facts.executable, argv };
}

function cacheMb({ memoryMb }: LaunchSpec): number {
  return memoryMb < SMALL_GUEST_MB ? SMALL_TCG_CACHE_MB : TCG_CACHE_MB;
}

/** Whether a guest ended its machine because its clock is broken. The caller ignores that status after the boot. */
export function hasBrokenClock({ code }: ProcessExit): boolean {
  return code === 2 * BROKEN_CLOCK_BYTE + 1;
}

/** Recognises that another process has the VM's vsock address, which the kernel refuses (drivers/vhost/vsock.c). */
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

/** microvm has virtio over MMIO, q35 over PCI. An option ROM for network boot would cost boot time. */
function deviceNames(kind: LaunchSpec['machine']): DeviceNames {
  const bus = kind === 'microvm' ? 'device' : 'pci';
  return {
    network: kind === 'microvm' ? 'virtio-net-device' : 'virtio-net-pci,romfile=',
    disk: `virtio-blk-${bus}`,
    serialBus: 'virtio-serial-pci',
    entropy: `virtio-rng-${bus}`,
    vsock: `vhost-vsock-${bus}`,
  };
}

function controlArguments(): string[] {
  return [
    '-chardev',
    `socket,id=control,fd=${CONTROL_DESCRIPTOR},server=on,wait=off`,
    '-mon',
    'chardev=control,mode=control',
  ];
}

/** QEMU itself writes the log, so nothing is lost while no daemon runs. */
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

/** In an option list a comma ends a value; a doubled comma is literal. */
function escaped(value: string): string {
  return value.replaceAll(',', ',,');
}
