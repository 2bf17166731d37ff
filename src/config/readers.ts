// config: readers of settings that take more than one line, by subject. Each adds what is wrong to `problems`.
// Defaults of single settings are in config.ts, limits in limits.ts.

import { isAbsolute, join, resolve } from 'node:path';
import { type FailPoint, parseFailPoint } from '../lib/fail-points.ts';
import { DEVICE_PATTERN_RULE, isDevicePattern } from '../lib/formats/pci-address.ts';
import { contains, type Ipv4Network, parseCidr, parseIpv4, sizeOf } from '../lib/net/ipv4.ts';
import { expandHome, type ListenAddress, type settingsReader } from '../lib/settings.ts';
import { DRIVER_NAMES, type HypervisorChoice, isDriverName } from './drivers.ts';

type Reader = ReturnType<typeof settingsReader>;

export type AcceleratorChoice = 'auto' | 'kvm' | 'tcg';

/** Whether hypervisors have users and file system views of their own, or those of the daemon. */
export type Isolation = 'full' | 'off';

/** Lower ids belong to the system and to people; 2^32 - 1 and 2^16 - 1 mean nobody. */
const UID_BASE_MIN = 100_000;
const UID_END = 0xffff_fffe;

/** Paths of PEM files. */
export interface TlsFiles {
  /** The server's certificate first, then the chain to the authority. */
  readonly certificate: string;
  readonly key: string;
}

/** Reads where a test lets the daemon end or fail. */
export function readFailPoint(read: Reader, problems: string[]): FailPoint | null {
  const point = parseFailPoint(read.text('VOLANT_FAIL_POINT', ''));
  if (point === null || !('problem' in point)) return point;
  problems.push(`VOLANT_FAIL_POINT: ${point.problem}`);
  return null;
}

/** Reads the settings of API keys and TLS. */
export function readKeysAndTls(
  read: Reader,
  home: string,
  listen: ListenAddress,
  problems: string[],
): {
  readonly keysFile: string;
  readonly keysFileNamed: boolean;
  readonly openToAll: boolean;
  readonly tls: TlsFiles | null;
} {
  return {
    keysFile: read.path('VOLANT_API_KEYS_FILE', join(home, 'keys.json')),
    keysFileNamed: read.text('VOLANT_API_KEYS_FILE', '') !== '',
    openToAll: read.choice('VOLANT_API_OPEN', ['yes', 'no'], 'no') === 'yes',
    tls: readTls(read, listen, problems),
  };
}

function readTls(read: Reader, listen: ListenAddress, problems: string[]): TlsFiles | null {
  const [certificate, key] = [read.text('VOLANT_TLS_CERT', ''), read.text('VOLANT_TLS_KEY', '')];
  if (certificate === '' && key === '') return null;
  if (certificate === '') problems.push('VOLANT_TLS_CERT: VOLANT_TLS_KEY is of no use without it');
  if (key === '') problems.push('VOLANT_TLS_KEY: VOLANT_TLS_CERT is of no use without it');
  if (listen.kind === 'unix') problems.push('VOLANT_TLS_CERT: a unix socket has no TLS');
  return { certificate: resolve(expandHome(certificate)), key: resolve(expandHome(key)) };
}

/**
 * Reads how many connections to published ports one VM's agent forwards at once. The agent has a higher limit of its
 * own.
 */
export function readGuestConnections(
  read: Reader,
  limits: { readonly agentTunnelsMax: number; readonly agentTunnelsSettingMax: number },
  problems: string[],
): number {
  const { agentTunnelsMax, agentTunnelsSettingMax: most } = limits;
  const count = read.number('VOLANT_GUEST_CONNECTIONS_MAX', agentTunnelsMax);
  if (count < 1 || count > most) problems.push(`VOLANT_GUEST_CONNECTIONS_MAX: use 1 to ${most}`);
  return count;
}

/** Reads the guests' bridge, their network, and the host's address in it. */
export function readNetwork(
  read: Reader,
  problems: string[],
): { readonly bridge: string; readonly subnet: Ipv4Network; readonly hostIp: string } {
  const bridge = read.text('VOLANT_BRIDGE', 'vbr0');
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,14}$/.test(bridge)) {
    problems.push('VOLANT_BRIDGE: use 1 to 15 letters, digits, "-" or "_"');
  }
  const subnetText = read.text('VOLANT_SUBNET', '192.168.127.0/24');
  const subnet = parseCidr(subnetText);
  const hostIp = read.text('VOLANT_HOST_IP', '192.168.127.1');
  const hostAddress = parseIpv4(hostIp);
  if (subnet === null) problems.push(`VOLANT_SUBNET: ${subnetText} is not an IPv4 CIDR`);
  else if (sizeOf(subnet) < 4) problems.push('VOLANT_SUBNET: use a prefix of /30 or shorter');
  if (hostAddress === null || (subnet !== null && !contains(subnet, hostAddress))) {
    problems.push(`VOLANT_HOST_IP: ${hostIp} is not an address of ${subnetText}`);
  }
  return { bridge, subnet: subnet ?? { base: 0, prefixLength: 24 }, hostIp };
}

export interface HypervisorSettings {
  readonly hypervisor: HypervisorChoice;
  readonly accelerator: AcceleratorChoice;
  /** `auto`: q35 for a VM with PCI devices, otherwise microvm. */
  readonly machine: 'auto' | 'q35';
  /** Number of boot slots; 0: the daemon decides. */
  readonly bootsMax: number;
}

export function readHypervisorSettings(read: Reader, problems: string[]): HypervisorSettings {
  return {
    hypervisor: readHypervisor(read, problems),
    accelerator: read.choice('VOLANT_ACCELERATOR', ['auto', 'kvm', 'tcg'], 'auto'),
    machine: read.choice('VOLANT_MACHINE', ['auto', 'q35'], 'auto'),
    bootsMax: read.number('VOLANT_BOOTS_MAX', 0),
  };
}

function readHypervisor(read: Reader, problems: string[]): HypervisorChoice {
  const name = 'VOLANT_HYPERVISOR';
  const value = read.text(name, 'auto');
  if (value === 'auto' || isDriverName(value)) return value;
  if (isAbsolute(value)) return { path: value };
  const words = ['auto', ...DRIVER_NAMES].join(', ');
  problems.push(`${name}: use ${words} or the absolute path of a QEMU binary`);
  return 'auto';
}

/** Reads how hypervisors are isolated from the host, and their first user id; null: the daemon chooses. */
export function readIsolation(
  read: Reader,
  uidsMax: number,
  problems: string[],
): { readonly isolation: Isolation; readonly uidBase: number | null } {
  const uidBase = read.number('VOLANT_UID_BASE', 0);
  const most = UID_END - uidsMax;
  if (uidBase !== 0 && (uidBase < UID_BASE_MIN || uidBase > most)) {
    problems.push(`VOLANT_UID_BASE: use ${UID_BASE_MIN} to ${most}, or 0 for a range of its own`);
  }
  return {
    isolation: read.choice('VOLANT_ISOLATION', ['full', 'off'], 'full'),
    uidBase: uidBase === 0 ? null : uidBase,
  };
}

/**
 * The range that no other program uses, according to systemd (https://systemd.io/UIDS-GIDS/): 0x70000000 to
 * 0x7fffffff.
 */
const UID_SPACE_BASE = 0x7000_0000;
const UID_SPACE_SIZE = 0x1000_0000;

/**
 * Returns the user id of the daemon's helpers; hypervisors have the following ones. Host tags differ, so the ranges
 * of two daemons most likely do, too.
 */
export function firstUidOf(
  { uidBase, hostTag }: { readonly uidBase: number | null; readonly hostTag: string },
  uidsMax: number,
): number {
  const range = Number.parseInt(hostTag, 16) % (UID_SPACE_SIZE / uidsMax);
  return uidBase ?? UID_SPACE_BASE + range * uidsMax;
}

export function readAllowedNetworks(read: Reader, problems: string[]): readonly Ipv4Network[] {
  return read.list('VOLANT_API_ALLOW_CIDR', ',').flatMap((text) => {
    const parsed = parseCidr(text.includes('/') ? text : `${text}/32`);
    if (parsed === null) problems.push(`VOLANT_API_ALLOW_CIDR: ${text} is not an IPv4 CIDR`);
    return parsed ?? [];
  });
}

export function readNameServers(read: Reader, problems: string[]): readonly string[] {
  const addresses = read.list('VOLANT_DNS', ',');
  for (const address of addresses) {
    if (parseIpv4(address) === null) problems.push(`VOLANT_DNS: ${address} is not an IPv4 address`);
  }
  return addresses;
}

export function readDevicePatterns(read: Reader, problems: string[]): readonly string[] {
  return read.list('VOLANT_VFIO_ALLOW', ',').map((pattern) => {
    if (!isDevicePattern(pattern)) {
      problems.push(`VOLANT_VFIO_ALLOW: ${pattern} ${DEVICE_PATTERN_RULE}`);
    }
    return pattern.toLowerCase();
  });
}

/** Checks that socket paths below the runtime directory, one directory per VM, are within Linux' limit. */
export function checkSocketPaths(
  runtimeDirectory: string,
  bytesMax: number,
  problems: string[],
): void {
  const longestSocket = join(runtimeDirectory, '9999999999', 'serial.sock');
  if (Buffer.byteLength(longestSocket) <= bytesMax) return;
  problems.push(
    `VOLANT_RUNTIME_DIR: ${runtimeDirectory} is too long for unix sockets, choose one under 80 bytes`,
  );
}
