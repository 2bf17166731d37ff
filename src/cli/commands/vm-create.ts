// cli, commands: `vms create`. It sends only values that were given; the others come from the plugin's manifest.

import type { Command } from 'commander';
import type { CreateVmRequest, VmConfigInput, VmWaitFor } from '../../client/types.ts';
import { collect, parseCount, parseMemoryMb, parseSeconds, readConfig } from '../arguments.ts';
import type { ShellMaker } from '../shell-maker.ts';
import {
  addConfigOptions,
  addImageOptions,
  type ConfigFlags,
  type ImageFlags,
  withFlags,
  withImage,
} from './create-config.ts';
import { statusText } from './vm-rows.ts';
import { addVmWaitOptions, toWaitOptions, type WaitFlags } from './wait-options.ts';

interface CreateFlags extends WaitFlags<VmWaitFor>, ConfigFlags, ImageFlags {
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
  readonly deadline?: number;
  readonly dryRun?: true;
}

export function addVmCreate(vms: Command, shells: ShellMaker): void {
  const create = vms
    .command('create')
    .description('create a VM')
    .argument('<name>', 'lower-case letters, digits and "-"')
    .argument('[words...]', 'with --image: arguments in place of its command, after --')
    .option('--plugin <plugin>', 'the plugin to run')
    .option('--runtime <name>', "runtime; the plugin's by default")
    .option('--cpu <count>', "vCPUs; the plugin's by default", parseCount)
    .option('--memory <MiB>', "memory, such as 512 or 2G; the plugin's by default", parseMemoryMb)
    .option('--kernel-cmdline <text>', 'added to the kernel command line')
    .option('--kernel <path>', 'another kernel, on the host')
    .option('--initramfs <path>', 'another initramfs: a path on the host or a URL')
    .option('--initramfs-checksum <sum>', 'sha256:... of the initramfs')
    .option('--config <file>', 'a config as JSON or YAML; "-" is standard input')
    .option('--api-host <host>', 'host of the API that the guest gets')
    .option('--api-port <port>', 'port of the API that the guest gets')
    .option('--device <address>', 'PCI device of the host for the guest; may be repeated', collect)
    .option('--device-allowlist <pattern>', 'devices that may be used; may be repeated', collect)
    .option('--autostart', 'start the VM after a restart of the host')
    .option('--deadline <duration>', 'delete the VM after this time, such as 30m', parseSeconds)
    .option(
      '--idempotency-key <key>',
      'a repeated create with the same key gets the answer of the first',
    )
    .option('--dry-run', 'print what would be done, and do nothing');
  addImageOptions(create);
  addConfigOptions(create);
  addVmWaitOptions(create).action(
    shells.action<CreateFlags>(async (shell, [name = '', ...words], flags) => {
      const file = flags.config && (await readConfig(flags.config, shell.streams.stdin));
      const { plugin } = flags;
      const config = withImage(name, file || undefined, flags, words);
      const complete = await withFlags(shell, config, plugin, flags);
      const request = toRequest(name, flags, complete);
      if (flags.dryRun) return shell.printJson(await shell.client.vms.planCreate(request));
      const startedMs = performance.now();
      const { idempotencyKey } = flags;
      const options = {
        ...toWaitOptions(flags),
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
      };
      const work = shell.client.vms.create(request, options);
      const vm = await shell.progressOf({ kind: 'VM', name }, `Creating ${name}`, work);
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(2);
      const address = vm.ip_address || 'no address';
      const state = flags.wait === 'exited' ? statusText(vm) : (flags.wait ?? vm.status);
      shell.say(vm, `${vm.name}  ${address}  ${state} after ${seconds} s`);
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
    ...(flags.deadline === undefined ? {} : { deadline_seconds: flags.deadline }),
    ...(Object.keys(config).length === 0 ? {} : { config }),
  };
}
