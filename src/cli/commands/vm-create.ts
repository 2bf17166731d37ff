// cli, commands: `vms create`. Sends what was given and nothing else: what is absent comes from the
// plugin's manifest.

import type { Command } from 'commander';
import type { CreateVmRequest, VmConfigInput } from '../../client/types.ts';
import { collect, parseCount, parseMemoryMb, readConfig } from '../arguments.ts';
import type { ShellMaker } from '../shell.ts';
import { addConfigOptions, type ConfigFlags, withFlags } from './create-config.ts';
import { addWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

interface CreateFlags extends WaitFlags, ConfigFlags {
  readonly plugin?: string;
  readonly runtime?: string;
  readonly cpu?: number;
  readonly memory?: number;
  readonly kernelCmdline?: string;
  readonly kernel?: string;
  readonly initramfs?: string;
  readonly initramfsChecksum?: string;
  readonly config?: string;
  readonly apiHost?: string;
  readonly apiPort?: string;
  readonly device?: readonly string[];
  readonly deviceAllowlist?: readonly string[];
  readonly idempotencyKey?: string;
  readonly autostart?: true;
  readonly dryRun?: true;
}

export function addVmCreate(vms: Command, shells: ShellMaker): void {
  const create = vms
    .command('create')
    .description('create a VM')
    .argument('<name>', 'lower-case letters, digits and "-"')
    .option('--plugin <plugin>', 'what runs in it')
    .option('--runtime <name>', "runtime, where it is not the plugin's")
    .option('--cpu <count>', "vCPUs; the plugin's unless given", parseCount)
    .option('--memory <MiB>', "memory, such as 512 or 2G; the plugin's unless given", parseMemoryMb)
    .option('--kernel-cmdline <text>', 'added to the kernel command line')
    .option('--kernel <path>', 'another kernel, on the host')
    .option('--initramfs <path>', 'another initramfs: a path on the host or a URL')
    .option('--initramfs-checksum <sum>', 'sha256:... of the initramfs')
    .option('--config <file>', 'a config as JSON or YAML; "-" is standard input')
    .option('--api-host <host>', 'host of the API that the guest is told')
    .option('--api-port <port>', 'port of the API that the guest is told')
    .option('--device <address>', 'PCI device of the host for the guest; may be repeated', collect)
    .option('--device-allowlist <pattern>', 'devices that may be used; may be repeated', collect)
    .option('--autostart', 'start it again after a restart of the host')
    .option('--idempotency-key <key>', 'the same key again answers what the first create did')
    .option('--dry-run', 'say what would be done, and do nothing');
  addConfigOptions(create);
  addWaitOptions(create).action(
    shells.action<CreateFlags>(async (shell, [name = ''], flags) => {
      const config = flags.config && (await readConfig(flags.config, shell.streams.stdin));
      const { plugin } = flags;
      const complete = await withFlags(shell, config || undefined, plugin, flags);
      const request = toRequest(name, flags, complete);
      if (flags.dryRun) return shell.printJson(await shell.client.vms.planCreate(request));
      const startedMs = performance.now();
      const { idempotencyKey } = flags;
      const options = {
        ...toWaitOptions(flags),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      };
      const work = shell.client.vms.create(request, options);
      const vm = await shell.progressOf(name, `Creating ${name}`, work);
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(2);
      const address = vm.ip_address || 'no address';
      shell.say(vm, `${vm.name}  ${address}  ${flags.wait ?? vm.status} after ${seconds} s`);
    }),
  );
}

function toRequest(
  name: string,
  flags: CreateFlags,
  file: VmConfigInput | undefined,
): CreateVmRequest {
  const config: VmConfigInput = { ...file };
  if (flags.kernel !== undefined) config.kernel_override = flags.kernel;
  if (flags.initramfs !== undefined || flags.initramfsChecksum !== undefined) {
    config.initramfs = {
      ...config.initramfs,
      ...(flags.initramfs === undefined ? {} : { url: flags.initramfs }),
      ...(flags.initramfsChecksum === undefined ? {} : { checksum: flags.initramfsChecksum }),
    };
  }
  if (flags.device !== undefined || flags.deviceAllowlist !== undefined) {
    config.devices = {
      ...config.devices,
      ...(flags.device === undefined ? {} : { pci_passthrough: [...flags.device] }),
      ...(flags.deviceAllowlist === undefined ? {} : { allowlist: [...flags.deviceAllowlist] }),
    };
  }
  return {
    name,
    ...(flags.plugin === undefined ? {} : { plugin: flags.plugin }),
    ...(flags.runtime === undefined ? {} : { runtime: flags.runtime }),
    ...(flags.cpu === undefined ? {} : { cpu_cores: flags.cpu }),
    ...(flags.memory === undefined ? {} : { memory_mb: flags.memory }),
    ...(flags.kernelCmdline === undefined ? {} : { kernel_cmdline: flags.kernelCmdline }),
    ...(flags.apiHost === undefined ? {} : { api_host: flags.apiHost }),
    ...(flags.apiPort === undefined ? {} : { api_port: flags.apiPort }),
    ...(flags.autostart === undefined ? {} : { autostart: true }),
    ...(Object.keys(config).length === 0 ? {} : { config }),
  };
}
