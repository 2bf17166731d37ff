// engine: the kernel command line. Pure: text from facts, measured against what the kernel takes.

import { gzipSync } from 'node:zlib';
import { VolantError } from '../../lib/errors.ts';
import { formatIpv4, maskOf } from '../../lib/ipv4.ts';
import { type GuestMount, guestManifest } from '../../schema/guest-rules.ts';
import type { Manifest } from '../../schema/manifest.ts';
import type { HypervisorFacts } from '../ports.ts';

/** What the guest is told about its network: to ask, or all that there is to know. */
export type GuestNetwork = 'dhcp' | StaticNetwork;

export interface StaticNetwork {
  readonly ipAddress: string;
  readonly hostIp: string;
  readonly prefixLength: number;
  readonly nameServers: readonly string[];
}

/**
 * Console on the serial port, a reset instead of a hang after a panic, and a quiet boot. The rest
 * makes the boot short: each argument leaves out self-tests or probing that a microVM has no use for.
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
] as const;

type ClockFacts = Pick<HypervisorFacts, 'accelerator' | 'tscKhz'>;

/**
 * Under TCG a guest that shares its cores with other work cannot calibrate its clock against an
 * emulated timer and would wait for ever; it is told the frequency instead. TCG hands the host's
 * counter through, so the host's frequency is the right one.
 */
function clockArguments(facts: ClockFacts): readonly string[] {
  if (facts.accelerator !== 'tcg') return [];
  return [`tsc_early_khz=${facts.tscKhz}`, 'tsc=reliable', 'no_timer_check'];
}

/** The arguments that the API shows as kernel_cmdline: ours, the network, then those of the VM, the user's own last. */
export function visibleArguments(
  facts: ClockFacts,
  hostName: string,
  network: GuestNetwork | null,
  ofThisVm: readonly string[],
): string {
  const address = network === null ? [] : [addressArgument(hostName, network)];
  return [...BASE_ARGUMENTS, ...clockArguments(facts), ...address, ...ofThisVm].join(' ');
}

/**
 * client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1, the kernel's own format
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
  /** The first disk is the root disk. */
  readonly bootsFromDisk: boolean;
  readonly apiHost: string;
  readonly apiPort: string;
}

/** JSON of what the agent needs of a manifest; what only the host uses is left out. */
export function manifestForGuest(manifest: Manifest, mounts: readonly GuestMount[]): string {
  return JSON.stringify(guestManifest(manifest, mounts));
}

/**
 * What gzip would bring below the 2048 bytes of a command line is not so long; packing megabytes to find
 * that out would hold up everything else.
 */
const MANIFEST_CHARACTERS_MAX = 64 * 1024;

/** JSON -> gzip -> base64url without padding: the form of `volant.manifest`. */
export function encodeManifest(json: string): string {
  return gzipSync(json, { level: 9 }).toString('base64url');
}

/**
 * The whole command line: the visible arguments and ours for the agent. A manifest that does not fit
 * into `bytesMax` (the closing NUL included) is not cut: `volant.manifest_source=channel` tells the
 * agent to wait for it on its channel. CMDLINE_TOO_LONG when the rest alone does not fit.
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
  if (manifestJson.length <= MANIFEST_CHARACTERS_MAX) {
    const whole = [visible, ...own, `volant.manifest=${encodeManifest(manifestJson)}`].join(' ');
    if (fits(whole)) return { cmdline: whole, manifestOverChannel: false };
  }
  const short = [visible, ...own, 'volant.manifest_source=channel'].join(' ');
  if (fits(short)) return { cmdline: short, manifestOverChannel: true };
  const excess = Buffer.byteLength(short) + 1 - bytesMax;
  throw new VolantError('CMDLINE_TOO_LONG', undefined, {
    details: {
      kernel_cmdline: `the kernel takes ${bytesMax} bytes with our own arguments; shorten it by ${excess}`,
    },
  });
}

/**
 * Where the agent finds the root file system: on the whole first disk, or where `root=` of the user's own
 * arguments says, with `rootfstype=` as its type. As for the kernel the last of each counts.
 */
function rootArguments(visible: string): readonly string[] {
  const last = (pattern: RegExp) => [...visible.matchAll(pattern)].at(-1)?.[1];
  const device = last(/(?:^| )root=\/dev\/(vd[a-z]\d{0,3})(?= |$)/g) ?? 'vda';
  const type = last(/(?:^| )rootfstype=([a-z0-9]{1,16})(?= |$)/g);
  const typed = type === undefined ? [] : [`volant.rootfs_fstype=${type}`];
  return ['volant.boot=rootfs', `volant.rootfs_device=${device}`, ...typed];
}
