// engine, vms: builds the kernel command line and checks that it fits. Pure.

import { gzipSync } from 'node:zlib';
import { VolantError } from '../../../lib/errors.ts';
import { formatIpv4, maskOf } from '../../../lib/net/ipv4.ts';
import { withRecentResults } from '../../../lib/recent-results.ts';
import type { Manifest } from '../../../schema/manifest.ts';
import { type GuestMount, guestManifest } from '../../../schema/rules/guest-rules.ts';
import type { GuestNetwork } from '../../media/cloud-init.ts';
import type { HypervisorFacts } from '../../ports/process-ports.ts';

/**
 * Console on the serial port, a reset instead of a hang after a panic, and a quiet boot. The rest shortens the boot:
 * each argument skips self-tests or probing that a microVM does not need.
 */
const BASE_ARGUMENTS = [
  'console=ttyS0',
  'reboot=t',
  'panic=-1',
  'quiet',
  'loglevel=1',
  'nowatchdog',
  'audit=0',
  'lsm=',
  'cryptomgr.notests',
  'mitigations=off',
  'init_on_alloc=0',
  'random.trust_cpu=on',
  '8250.nr_uarts=1',
  'rcupdate.rcu_expedited=1',
  // Two timers of the kernel that would wake an idle guest twice a second and each second.
  'sysctl.vm.compaction_proactiveness=0',
  'sysctl.vm.stat_interval=60',
] as const;

/** A guest with less memory than this, in MiB, gets SMALL_GUEST_ARGUMENTS. */
const SMALL_GUEST_MB = 256;

/** tracefs makes an inode for each of 10,000 files at boot, 9 MiB that a small guest rather has for its workload. */
const SMALL_GUEST_ARGUMENTS = ['initcall_blacklist=tracer_init_tracefs'] as const;

type ClockFacts = Pick<HypervisorFacts, 'accelerator' | 'tscKhz'>;

/**
 * Under TCG a guest that shares its cores with other work cannot calibrate its clock against an emulated timer and
 * would hang. So it gets the frequency as an argument. TCG passes the host's counter through, so the host's frequency
 * is the right one.
 */
function clockArguments(facts: ClockFacts): readonly string[] {
  if (facts.accelerator !== 'tcg') return [];
  return [`tsc_early_khz=${facts.tscKhz}`, 'tsc=reliable', 'no_timer_check'];
}

/**
 * The arguments that the API shows as kernel_cmdline: the base arguments, the network, then those of the VM, with the
 * user's own last.
 */
export function visibleArguments(
  facts: ClockFacts,
  memoryMb: number,
  hostName: string,
  network: GuestNetwork | null,
  ofThisVm: readonly string[],
): string {
  const address = network === null ? [] : [addressArgument(hostName, network)];
  const bySize = memoryMb < SMALL_GUEST_MB ? SMALL_GUEST_ARGUMENTS : [];
  const ours = [...BASE_ARGUMENTS, ...bySize, ...clockArguments(facts)];
  return [...ours, ...address, ...ofThisVm].join(' ');
}

/**
 * client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1, the kernel's format
 * (Documentation/admin-guide/nfs/nfsroot.rst).
 */
function addressArgument(hostName: string, network: GuestNetwork): string {
  if (network === 'dhcp') return `ip=::::${hostName}:eth0:dhcp`;
  const { ipAddress, hostIp, prefixLength, nameServers } = network;
  const mask = formatIpv4(maskOf(prefixLength));
  const fields = [ipAddress, '', hostIp, mask, hostName, 'eth0', 'off'];
  return `ip=${[...fields, ...nameServers.slice(0, 2)].join(':')}`;
}

export interface AgentArguments {
  readonly plugin: string;
  readonly runtime: string;
  readonly hostName: string;
  /** The guest boots from its first disk, which is the root disk. */
  readonly bootsFromDisk: boolean;
  readonly apiHost: string;
  readonly apiPort: string;
  /** The manifest, which starts the workload, comes over the channel, after the metadata. */
  readonly hasMetadata: boolean;
}

/** The JSON of the manifest's members that the agent needs. Members for the host are left out. */
export function manifestForGuest(manifest: Manifest, mounts: readonly GuestMount[]): string {
  return JSON.stringify(guestManifest(manifest, mounts));
}

/**
 * A manifest that gzip can shrink below the 2048 bytes of a command line is shorter than this. Compressing megabytes to
 * find that out would stall the event loop.
 */
const MANIFEST_CHARACTERS_MAX = 64 * 1024;

/**
 * VMs that start together usually share few manifests, and compressing one is the most expensive part of a resolution.
 */
const PACKED_MANIFESTS_MAX = 32;

/** JSON -> gzip -> base64url without padding: the form of `volant.manifest`. */
export const encodeManifest = withRecentResults(
  (json) => gzipSync(json, { level: 9 }).toString('base64url'),
  { entriesMax: PACKED_MANIFESTS_MAX, charactersMax: MANIFEST_CHARACTERS_MAX },
);

/**
 * The whole command line: the visible arguments and those for the agent. If the manifest does not fit into `bytesMax`
 * (closing NUL included), or metadata come before it, `volant.manifest_source=channel` tells the agent to wait for it on
 * its channel. Throws CMDLINE_TOO_LONG if the rest alone does not fit.
 */
export function completeCmdline(
  visible: string,
  agent: AgentArguments,
  manifestJson: string,
  bytesMax: number,
): { readonly cmdline: string; readonly manifestOverChannel: boolean } {
  const own = [
    ...(agent.bootsFromDisk ? rootArguments(visible) : ['volant.boot=initramfs']),
    `volant.hostname=${agent.hostName}`,
    `volant.plugin=${agent.plugin}`,
    `volant.runtime=${agent.runtime}`,
    `volant.api_host=${agent.apiHost}`,
    `volant.api_port=${agent.apiPort}`,
  ];
  const fits = (text: string): boolean => Buffer.byteLength(text) < bytesMax;
  if (!agent.hasMetadata && manifestJson.length <= MANIFEST_CHARACTERS_MAX) {
    const whole = [visible, ...own, `volant.manifest=${encodeManifest(manifestJson)}`].join(' ');
    if (fits(whole)) return { cmdline: whole, manifestOverChannel: false };
  }
  const short = [visible, ...own, 'volant.manifest_source=channel'].join(' ');
  if (fits(short)) return { cmdline: short, manifestOverChannel: true };
  const excess = Buffer.byteLength(short) + 1 - bytesMax;
  throw new VolantError('CMDLINE_TOO_LONG', undefined, {
    details: {
      kernel_cmdline: `the kernel accepts ${bytesMax} bytes including the daemon's arguments; shorten it by ${excess}`,
    },
  });
}

/**
 * Where the agent finds the root file system: on the whole first disk, or on the device of `root=` in the user's
 * arguments, with `rootfstype=` as its type. The last occurrence of each counts, as for the kernel.
 */
function rootArguments(visible: string): readonly string[] {
  const last = (pattern: RegExp) => [...visible.matchAll(pattern)].at(-1)?.[1];
  const device = last(/(?:^| )root=\/dev\/(vd[a-z]\d{0,3})(?= |$)/g) ?? 'vda';
  const type = last(/(?:^| )rootfstype=([a-z0-9]{1,16})(?= |$)/g);
  const typed = type === undefined ? [] : [`volant.rootfs_fstype=${type}`];
  return ['volant.boot=rootfs', `volant.rootfs_device=${device}`, ...typed];
}
