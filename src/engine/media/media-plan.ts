// engine: what a VM boots from and which disks it has, as its config says. Pure. Getting hold of the
// images is media.ts's business.

import { digestIn } from '../../lib/digest.ts';
import { VolantError } from '../../lib/errors.ts';
import { type ImageContent, imageContent, imageFormat } from '../../lib/image-formats.ts';
import { type ImageLocation, imageLocation, withoutSecrets } from '../../lib/image-location.ts';
import { serialOf } from '../../schema/image-rules.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import { type SeedSources, seedSourcesOf } from './cloud-init.ts';

/** An image, as its owner names it. */
export interface MediaSource extends ImageLocation {
  /** The field that names it, for errors. */
  readonly field: string;
  /** 64 lower-case hexadecimal digits; null when any content will do. */
  readonly checksum: string | null;
}

export interface PlannedDisk extends ImageContent {
  readonly name: string;
  readonly serial: string;
  readonly source: MediaSource;
  /** The guest's system is on it. */
  readonly isRoot: boolean;
  readonly readonly: boolean;
  /** Where the agent mounts it; null when nobody asked for that. */
  readonly mountPoint: string | null;
}

export interface MediaPlan {
  /** null where the daemon's own kernel is meant. */
  readonly kernelPath: string | null;
  readonly initramfs: MediaSource | null;
  readonly memoryBytes: number;
  /** The guest goes on from its first disk; where it has no initramfs either, the daemon's own leads there. */
  readonly bootsFromDisk: boolean;
  /** In the order of the guest's devices: the first is vda. */
  readonly disks: readonly PlannedDisk[];
  /** Becomes the last disk; null for a VM without cloud-init. */
  readonly seed: SeedSources | null;
}

/** The parts of a config that name files, and the memory that they must fit into. */
export type MediaConfig = Pick<
  VmConfig,
  'manifest' | 'resources' | 'rootfs' | 'initramfs' | 'kernel_override' | 'cloud_init'
>;

/** MEDIA_INVALID, see locationOf. */
export function mediaPlanOf(config: MediaConfig): MediaPlan {
  const { manifest } = config;
  const rootfs = config.rootfs?.url ? config.rootfs : manifest.rootfs;
  const initramfs = config.initramfs?.url ? config.initramfs : manifest.initramfs;
  return {
    kernelPath: config.kernel_override || null,
    initramfs: initramfs.url ? sourceOf('initramfs.url', initramfs.url, initramfs.checksum) : null,
    memoryBytes: config.resources.memory_mb * 2 ** 20,
    bootsFromDisk: Boolean(rootfs.url),
    disks: [...rootDisks(rootfs), ...(manifest.disks ?? []).map(plannedDisk)],
    seed: seedSourcesOf(config),
  };
}

function rootDisks({ url, checksum, format }: NonNullable<VmConfig['rootfs']>): PlannedDisk[] {
  if (!url) return [];
  const source = sourceOf('rootfs.url', url, checksum);
  const rest = { isRoot: true, readonly: false, mountPoint: null };
  return [{ name: 'rootfs', serial: 'rootfs', source, ...contentOf(format), ...rest }];
}

function plannedDisk(
  disk: NonNullable<VmConfig['manifest']['disks']>[number],
  index: number,
): PlannedDisk {
  const { name = '', source = '', checksum, format, target = '' } = disk;
  const isMountPoint = target.startsWith('/');
  return {
    name,
    serial: serialOf(name, target),
    source: sourceOf(`disks[${index}].source`, source, checksum),
    ...contentOf(format),
    isRoot: false,
    readonly: disk.readonly ?? false,
    mountPoint: isMountPoint ? target : null,
  };
}

/** What was refused when it was given cannot stand here. */
function contentOf(format: string | undefined): ImageContent {
  return imageContent(imageFormat(format) ?? 'raw');
}

function sourceOf(field: string, url: string, checksum: string | undefined): MediaSource {
  const digest = checksum?.trim() ? digestIn(checksum) : null;
  return { field, ...locationOf(field, url), checksum: digest };
}

/** MEDIA_INVALID: a config of an earlier version of this program may have what is refused today. */
export function locationOf(field: string, url: string): ImageLocation {
  const found = imageLocation(url.trim());
  if (typeof found !== 'string') return found;
  const details = { [field]: found };
  throw new VolantError('MEDIA_INVALID', `${withoutSecrets(url)} ${found}`, { details });
}
