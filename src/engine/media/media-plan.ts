// engine, media: what a VM boots from and which disks it has, according to its config. Pure. media.ts provides the
// images.

import { VolantError } from '../../lib/errors.ts';
import { digestIn } from '../../lib/formats/digest.ts';
import { type ImageContent, imageContent, imageFormat } from '../../lib/formats/image-formats.ts';
import {
  type ImageLocation,
  imageLocation,
  withoutSecrets,
} from '../../lib/formats/image-location.ts';
import { containerImageOf } from '../../schema/rules/container-image.ts';
import { formatOfName, serialOf } from '../../schema/rules/image-rules.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import { type SeedSources, seedSourcesOf } from './cloud-init.ts';

/** An image as the config names it. */
export interface MediaSource extends ImageLocation {
  /** The field that names it, for errors. */
  readonly field: string;
  /**
   * SHA-256 as 64 lower-case hexadecimal digits; null if any content will do. That of a container image is the digest
   * of its manifest, with `sha256:`.
   */
  readonly checksum: string | null;
  /** It is the name of a container image, which is pulled and becomes a disk. */
  readonly isContainerImage?: true;
}

export interface PlannedDisk extends ImageContent {
  readonly name: string;
  readonly serial: string;
  readonly source: MediaSource;
  /** The guest's root file system is on it. */
  readonly isRoot: boolean;
  readonly readonly: boolean;
  /** Where the agent mounts it; null for a disk that is not mounted. */
  readonly mountPoint: string | null;
}

export interface MediaPlan {
  /** null: the daemon's default kernel. */
  readonly kernelPath: string | null;
  readonly initramfs: MediaSource | null;
  readonly memoryBytes: number;
  /**
   * The guest's root file system is on the first disk. Without an initramfs of its own it gets the daemon's, which
   * mounts that disk.
   */
  readonly bootsFromDisk: boolean;
  /** In the order of the guest's devices; the first is vda. */
  readonly disks: readonly PlannedDisk[];
  /** Becomes the last disk; null for a VM without cloud-init. */
  readonly seed: SeedSources | null;
}

/** The members of a config that name files, and the memory that they must fit into. */
export type MediaConfig = Pick<
  VmConfig,
  'manifest' | 'resources' | 'rootfs' | 'initramfs' | 'kernel_override' | 'cloud_init'
>;

/** A create needs its plan about nine times. Configs are never modified, so a plan stays valid. */
const PLANS = new WeakMap<MediaConfig, MediaPlan>();

/** The plan of a config. Throws MEDIA_INVALID as locationOf does. */
export function mediaPlanOf(config: MediaConfig): MediaPlan {
  const known = PLANS.get(config);
  if (known !== undefined) return known;
  const plan = planOf(config);
  PLANS.set(config, plan);
  return plan;
}

function planOf(config: MediaConfig): MediaPlan {
  const { manifest } = config;
  const rootfs = config.rootfs?.url ? config.rootfs : manifest.rootfs;
  const image = rootfs.url ? null : containerImageOf(manifest);
  const initramfs = config.initramfs?.url ? config.initramfs : manifest.initramfs;
  return {
    kernelPath: config.kernel_override || null,
    initramfs: initramfs.url ? sourceOf('initramfs.url', initramfs.url, initramfs.checksum) : null,
    memoryBytes: config.resources.memory_mb * 2 ** 20,
    bootsFromDisk: Boolean(rootfs.url) || image !== null,
    disks: [
      ...(image === null ? rootDisks(rootfs) : [imageDisk(image)]),
      ...(manifest.disks ?? []).map(plannedDisk),
    ],
    seed: seedSourcesOf(config),
  };
}

function rootDisks({ url, checksum, format }: NonNullable<VmConfig['rootfs']>): PlannedDisk[] {
  if (!url) return [];
  const source = sourceOf('rootfs.url', url, checksum);
  const rest = { isRoot: true, readonly: false, mountPoint: null };
  const content = contentOf(format?.trim() || formatOfName(url));
  return [{ name: 'rootfs', serial: 'rootfs', source, ...content, ...rest }];
}

/** The root disk that is made of a container image. */
function imageDisk({
  name,
  digest,
}: NonNullable<ReturnType<typeof containerImageOf>>): PlannedDisk {
  const source = { field: 'image', location: name, isRemote: true, checksum: digest };
  return {
    name: 'rootfs',
    serial: 'rootfs',
    source: { ...source, isContainerImage: true },
    ...imageContent('ext4'),
    isRoot: true,
    readonly: false,
    mountPoint: null,
  };
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

/** Unknown formats are refused when a config is given, so none can occur here. */
function contentOf(format: string | undefined): ImageContent {
  return imageContent(imageFormat(format) ?? 'raw');
}

function sourceOf(field: string, url: string, checksum: string | undefined): MediaSource {
  const digest = checksum?.trim() ? digestIn(checksum) : null;
  return { field, ...locationOf(field, url), checksum: digest };
}

/**
 * Where an image is. Throws MEDIA_INVALID: a config of an earlier version may have a location that is refused today.
 */
export function locationOf(field: string, url: string): ImageLocation {
  const found = imageLocation(url.trim());
  if (typeof found !== 'string') return found;
  const details = { [field]: found };
  throw new VolantError('MEDIA_INVALID', `${withoutSecrets(url)} ${found}`, { details });
}
