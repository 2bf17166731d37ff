// config: environment -> Config. It contains every default of the daemon; limits are in config/limits.ts. Nothing
// else reads process.env. It has no effects: whether a path exists or a port is free is checked where it is used.

import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type BudgetSettings, readBudget } from './config/budget.ts';
import { LIMITS } from './config/limits.ts';
import { readOutbound } from './config/outbound.ts';
import {
  checkSocketPaths,
  type HypervisorSettings,
  type Isolation,
  readAllowedNetworks,
  readDevicePatterns,
  readFailPoint,
  readGuestConnections,
  readHypervisorSettings,
  readIsolation,
  readKeysAndTls,
  readNameServers,
  readNetwork,
  type TlsFiles,
} from './config/readers.ts';
import { type RegistrySettings, readRegistries } from './config/registries.ts';
import type { FailPoint } from './lib/fail-points.ts';
import type { Ipv4Network } from './lib/net/ipv4.ts';
import type { Outbound } from './lib/net/proxy.ts';
import {
  type AdvertisedAddress,
  type Environment,
  expandHome,
  type ListenAddress,
  settingsReader,
} from './lib/settings.ts';

export type { HypervisorChoice } from './config/drivers.ts';
export type { AcceleratorChoice, Isolation } from './config/readers.ts';

/** The daemon's settings, checked and complete. All paths are absolute. */
export interface Config extends HypervisorSettings {
  readonly home: string;
  readonly statePath: string;
  readonly runtimeDirectory: string;
  readonly logDirectory: string;
  /** File of the daemon's own log; null: standard output. */
  readonly logFile: string | null;
  /** Set by tests only. */
  readonly failPoint: FailPoint | null;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** Manifests and configs may name files below these directories only. */
  readonly mediaDirectories: readonly string[];
  readonly listen: ListenAddress;
  /** The address at which guests reach the API. */
  readonly advertise: AdvertisedAddress;
  readonly bridge: string;
  readonly subnet: Ipv4Network;
  readonly hostIp: string;
  /** The DHCP server of the guests' network: one that exists already, or dnsmasq run by the daemon. */
  readonly dhcpServer: 'outside' | 'dnsmasq';
  /** Name servers for guests; empty: those of the host. */
  readonly nameServers: readonly string[];
  /** Hosts that images may be downloaded from, at any address; empty or "*": also from all public addresses. */
  readonly mediaHosts: readonly string[];
  readonly registries: RegistrySettings;
  /** Proxies and authorities for downloads of images and documents. */
  readonly outbound: Outbound;
  readonly cacheDirectory: string;
  readonly cacheBytesMax: number;
  /** Directory of the guests' overlays. */
  readonly diskDirectory: string;
  /** Address of the host for published ports; 0.0.0.0: all addresses. */
  readonly exposeAddress: string;
  /** Guests may send from their own MAC and IP address only. */
  readonly antiSpoofing: boolean;
  /** Connections to published ports through the agent of one VM at once. */
  readonly guestConnectionsMax: number;
  /** Whether guests cannot reach each other. */
  readonly guestIsolation: boolean;
  readonly isolation: Isolation;
  /** User id of the first hypervisor; null: derived from hostTag. */
  readonly uidBase: number | null;
  readonly kernelBzImage: string;
  readonly kernelVmlinux: string;
  /** The initramfs that mounts the root disk of a VM without an initramfs of its own. */
  readonly bootInitramfs: string;
  /** The API key with all permissions. */
  readonly apiKey: string | null;
  /** Host names, in lower case, under which clients may reach the API, in addition to its addresses. */
  readonly apiHosts: readonly string[];
  /** File of named keys with scopes. It may be missing unless a setting names it. */
  readonly keysFile: string;
  readonly keysFileNamed: boolean;
  /** No key is needed, whatever the address that the API listens on. */
  readonly openToAll: boolean;
  /** PEM files; null: plain HTTP. */
  readonly tls: TlsFiles | null;
  readonly allowedNetworks: readonly Ipv4Network[];
  readonly corsOrigins: readonly string[];
  /** Hosts from which OpenAPI documents of manifests may be fetched; "*": any host at a public address. */
  readonly openapiHosts: readonly string[];
  /** How much of the host all VMs together may use. */
  readonly budget: BudgetSettings;
  /** Running VMs that have metrics of their own. */
  readonly metricsVmsMax: number;
  /** PCI devices that VMs may use, by address or vendor:device; empty: any. */
  readonly vfioAllow: readonly string[];
  readonly sysfsRoot: string;
  /**
   * Four hex digits that distinguish this home's kernel objects from those of another daemon. This value is derived
   * from the home's path; home.ts replaces it by the stored one.
   */
  readonly hostTag: string;
  /** Random id of the home's records; empty until the store is open. */
  readonly homeId: string;
}

/** The settings are wrong. `problems` names each variable and a remedy. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

/** Reads the settings. Throws ConfigError with every problem at once. */
export function loadConfig(environment: Environment): Config {
  const problems: string[] = [];
  const read = settingsReader(environment, problems);
  const home = read.path('VOLANT_HOME', join(homedir(), '.volant'));
  const listen = read.listen('VOLANT_API_LISTEN', '127.0.0.1:7777');
  const network = readNetwork(read, problems);
  const runtimeDirectory = read.path('VOLANT_RUNTIME_DIR', join(home, 'run'));
  const config: Config = {
    home,
    statePath: read.path('VOLANT_DB_PATH', join(home, 'state')),
    runtimeDirectory,
    logDirectory: read.path('VOLANT_LOG_DIR', join(home, 'logs')),
    logFile: environment['VOLANT_LOG_FILE'] ? resolve(environment['VOLANT_LOG_FILE']) : null,
    failPoint: readFailPoint(read, problems),
    logLevel: read.choice('VOLANT_LOG_LEVEL', ['debug', 'info', 'warn', 'error'], 'info'),
    mediaDirectories: read
      .list('VOLANT_MEDIA_DIRS', ':')
      .concat(join(home, 'images'))
      .map((directory) => resolve(expandHome(directory))),
    listen,
    advertise: read.advertise('VOLANT_API_ADVERTISE', listen, network.hostIp),
    ...network,
    nameServers: readNameServers(read, problems),
    mediaHosts: read.list('VOLANT_MEDIA_HOSTS', ',').map((host) => host.toLowerCase()),
    outbound: readOutbound(read, problems),
    registries: readRegistries(read, problems),
    cacheDirectory: read.path('VOLANT_MEDIA_CACHE_DIR', join(home, 'cache')),
    cacheBytesMax: read.number('VOLANT_MEDIA_CACHE_MB', 20 * 1024) * 1024 ** 2,
    diskDirectory: read.path('VOLANT_DISK_DIR', join(home, 'disks')),
    exposeAddress: read.address('VOLANT_EXPOSE_ADDRESS', '0.0.0.0'),
    guestConnectionsMax: readGuestConnections(read, LIMITS, problems),
    dhcpServer: read.choice('VOLANT_DHCP_SERVER', ['outside', 'dnsmasq'], 'outside'),
    antiSpoofing: read.choice('VOLANT_ANTI_SPOOFING', ['on', 'off'], 'on') === 'on',
    guestIsolation: read.choice('VOLANT_GUEST_ISOLATION', ['on', 'off'], 'off') === 'on',
    ...readHypervisorSettings(read, problems),
    ...readIsolation(read, LIMITS.hypervisorUidsMax, problems),
    kernelBzImage: read.path('VOLANT_KERNEL_BZIMAGE', join(home, 'kernel', 'bzImage')),
    kernelVmlinux: read.path('VOLANT_KERNEL_VMLINUX', join(home, 'kernel', 'vmlinux')),
    bootInitramfs: read.path('VOLANT_BOOT_INITRAMFS', join(home, 'images', 'boot.cpio')),
    apiKey: environment['VOLANT_API_KEY'] || null,
    ...readKeysAndTls(read, home, listen, problems),
    allowedNetworks: readAllowedNetworks(read, problems),
    apiHosts: read.hostNames('VOLANT_API_HOSTS'),
    corsOrigins: read.origins('VOLANT_CORS_ORIGINS'),
    openapiHosts: read.list('VOLANT_OPENAPI_HOSTS', ',').map((host) => host.toLowerCase()),
    budget: readBudget(read),
    metricsVmsMax: read.number('VOLANT_METRICS_VMS_MAX', 1_000),
    vfioAllow: readDevicePatterns(read, problems),
    sysfsRoot: read.path('VOLANT_SYSFS_ROOT', '/sys'),
    hostTag: createHash('sha256').update(home).digest('hex').slice(0, 4),
    homeId: '',
  };
  checkSocketPaths(runtimeDirectory, LIMITS.unixPathBytesMax, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}
