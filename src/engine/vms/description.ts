// engine, vms: what is left in the run directory of each VM: enough to write down the VM, its plugin, its devices and its
// place in a deployment again when the records are lost. Pure.

import { isDeepStrictEqual } from 'node:util';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { DeviceRecord, PluginRecord, VmDescription, VmRecord } from '../records.ts';

export interface Described {
  readonly record: VmRecord;
  readonly config: VmConfig;
  /** Those that the VM has. */
  readonly devices: readonly DeviceRecord[];
  /** As it is installed; undefined when it is not any more. */
  readonly plugin: PluginRecord | undefined;
}

/** What is left of a VM that runs. */
export function descriptionOf({ record, config, devices, plugin }: Described): VmDescription {
  return {
    record,
    config,
    devices,
    plugin:
      plugin === undefined
        ? null
        : {
            enabled: plugin.enabled,
            installedAtMs: plugin.installedAtMs,
            // Manifests are long, and most VMs run with the one of their plugin.
            manifest: isDeepStrictEqual(plugin.manifest, config.manifest) ? null : plugin.manifest,
          },
  };
}
