// engine: a config and a change of it -> the config as it shall be, before it is checked. Pure.

import { isDeepStrictEqual } from 'node:util';
import type { ConfigPatch } from '../../schema/config-patch.ts';
import type { VmConfig, VmConfigInput } from '../../schema/vm-config.ts';

/** A config can be without these: null removes them. */
const REMOVABLE = [
  'devices',
  'metadata',
  'expose',
  'cloud_init',
  'network',
  'initramfs',
  'rootfs',
  'stop_grace_seconds',
  'autostart',
] as const;

/**
 * Absent keeps. Texts and whole objects are replaced; resources and api are merged member by member, and
 * there 0, the empty text and null keep: clients send complete configs whose numbers were never set.
 */
export function mergeConfig(current: VmConfig, patch: ConfigPatch): VmConfigInput {
  const merged: Record<string, unknown> = { ...current };
  for (const name of ['runtime', 'kernel_cmdline', 'kernel_override', 'manifest'] as const) {
    const value = patch[name];
    if (value !== undefined && value !== null) merged[name] = value;
  }
  for (const name of REMOVABLE) {
    if (patch[name] === null) delete merged[name];
    else if (patch[name] !== undefined) merged[name] = patch[name];
  }
  merged['resources'] = mergeSet(current.resources, patch.resources);
  merged['api'] = mergeSet(current.api, patch.api);
  return merged as VmConfigInput;
}

/** A change from one to the other would change nothing. */
export function isSameConfig(one: VmConfig, other: VmConfig): boolean {
  return isDeepStrictEqual(asStored(one), asStored(other));
}

/** A member without a value is none. */
function asStored(config: VmConfig): unknown {
  return JSON.parse(JSON.stringify(config));
}

function mergeSet<T extends object>(current: T, patch: object | null | undefined): T {
  const set = Object.entries(patch ?? {}).filter(([, value]) => Boolean(value));
  return { ...current, ...Object.fromEntries(set) };
}
