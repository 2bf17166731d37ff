// schema: rules for a VM's config beyond its shape. Pure. Rules for the manifest in a config are in manifest-rules.ts.

import { LIMITS } from '../../config/limits.ts';
import type { Problems } from '../../lib/formats/member-path.ts';
import type { VmConfigInput } from '../vm-config.ts';
import { checkDiskFormat, checkDiskName, checkImage } from './image-rules.ts';
import { checkCloudInit, checkDevices, checkNetwork } from './manifest-rules.ts';

/** Every problem of the config's own fields, keyed by path; empty if there is none. */
export function checkConfig(input: VmConfigInput): Problems {
  const problems: Record<string, string> = {};
  const cmdline = checkKernelCmdline(input.kernel_cmdline ?? '');
  if (cmdline !== null) problems['kernel_cmdline'] = cmdline;
  const kernel = input.kernel_override ?? '';
  if (kernel !== '' && (!kernel.startsWith('/') || kernel.includes('\0'))) {
    problems['kernel_override'] = 'must be an absolute path';
  }
  checkImage(input.initramfs, 'initramfs', problems);
  checkImage(input.rootfs, 'rootfs', problems);
  checkDiskName(input.rootfs?.url ?? '', input.rootfs?.format, 'rootfs.url', problems);
  checkDiskFormat(input.rootfs?.format, 'rootfs.format', problems);
  checkNetwork(input.network, 'network', problems);
  checkCloudInit(input.cloud_init, 'cloud_init', problems, false);
  checkExpose(input, problems);
  const { resources, api } = input;
  Object.assign(problems, checkResources(resources ?? {}, 'resources.'));
  Object.assign(problems, checkApi(api?.host, api?.port, ['api.host', 'api.port']));
  checkDevices(input.devices, problems);
  return problems;
}

/** Checks only values that were given: 0 means not set. */
export function checkResources(
  { cpu_cores, memory_mb }: { readonly cpu_cores?: number; readonly memory_mb?: number },
  prefix: string,
): Record<string, string> {
  const problems: Record<string, string> = {};
  if ((cpu_cores ?? 0) > LIMITS.cpuCoresMax) {
    problems[`${prefix}cpu_cores`] = `must be at most ${LIMITS.cpuCoresMax}`;
  }
  const { memoryMbMin, memoryMbMax } = LIMITS;
  if (memory_mb && (memory_mb < memoryMbMin || memory_mb > memoryMbMax)) {
    problems[`${prefix}memory_mb`] = `must be ${memoryMbMin} to ${memoryMbMax}`;
  }
  return problems;
}

/** The API endpoint that the guest gets; an empty text means not set. */
export function checkApi(
  host: string | undefined,
  port: string | undefined,
  [hostField, portField]: readonly [string, string],
): Record<string, string> {
  const problems: Record<string, string> = {};
  if (host && !/^[A-Za-z0-9.:-]{1,253}$/.test(host)) {
    problems[hostField] = 'must be a host name or an address';
  }
  if (port && (!/^\d{1,5}$/.test(port) || Number(port) > 65535)) {
    problems[portField] = 'must be a port number';
  }
  return problems;
}

/**
 * Checks additional kernel arguments: one line, no quotes (the kernel and QEMU parse them differently) and no arguments of
 * the daemon. null if they are valid.
 */
export function checkKernelCmdline(text: string): string | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\u0000-\u001f\u007f"'\\]/.test(text)) {
    return 'must be one line without quotes, backslashes and control characters';
  }
  if (/[^\u0020-\u007e]/.test(text)) return 'must be ASCII';
  if (/(^|\s)volant\./.test(text)) return 'must not set volant.* arguments';
  return null;
}

function checkExpose(input: VmConfigInput, problems: Record<string, string>): void {
  if ((input.expose?.length ?? 0) > LIMITS.exposedPortsMax) {
    problems['expose'] = `must be at most ${LIMITS.exposedPortsMax} ports`;
  }
  const seen = new Set<string>();
  for (const [index, expose] of (input.expose ?? []).entries()) {
    for (const field of ['port', 'host_port'] as const) {
      const port = expose[field] ?? 0;
      if (port >= 1 && port <= 65535) continue;
      problems[`expose[${index}].${field}`] = 'must be 1 to 65535';
    }
    const protocol = expose.protocol?.trim().toLowerCase() || 'tcp';
    if (protocol !== 'tcp' && protocol !== 'udp') {
      problems[`expose[${index}].protocol`] = 'must be tcp or udp';
    }
    const mode = expose.mode?.trim().toLowerCase() || 'bridged';
    if (!['bridged', 'bridge', 'vsock', 'dhcp'].includes(mode)) {
      problems[`expose[${index}].mode`] = 'must be bridged, vsock or dhcp';
    }
    const hostPort = `${protocol} ${expose.host_port}`;
    if (seen.has(hostPort)) problems[`expose[${index}].host_port`] = 'is there twice';
    seen.add(hostPort);
  }
}
