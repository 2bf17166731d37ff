// Which overlays a VM must still have: those that every launch of it has made.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptOverlays } from '../../src/engine/media/kept-overlays.ts';
import { mediaPlanOf } from '../../src/engine/media/media-plan.ts';
import type { VmConfig } from '../../src/schema/vm-config.ts';

interface Disk {
  readonly name: string;
  readonly source: string;
  readonly readonly?: boolean;
}

function config(root: string, disks: readonly Disk[] = []): VmConfig {
  const manifest = { initramfs: {}, rootfs: { url: root }, disks };
  return { manifest, resources: { memory_mb: 64 } } as unknown as VmConfig;
}

const kept = (newest: VmConfig, ...older: VmConfig[]) =>
  [...keptOverlays(mediaPlanOf(newest), [newest, ...older])].sort();

test('a disk that was always there, on the same image, is kept', () => {
  const data = { name: 'data', source: '/images/data.raw' };
  const first = config('/images/root.raw', [data]);
  assert.deepEqual(kept(first), ['data', 'rootfs']);
  assert.deepEqual(kept(first, first), ['data', 'rootfs']);
  // One that came later, and one that got another image, may never have been made.
  assert.deepEqual(kept(first, config('/images/root.raw')), ['rootfs']);
  assert.deepEqual(kept(first, config('/images/other.raw', [data])), ['data']);
  assert.deepEqual(kept(first, config('/images/other.raw', [data]), first), ['data']);
  // One that is not written to has no overlay.
  const fixed = config('/images/root.raw', [{ ...data, readonly: true }]);
  assert.deepEqual([kept(fixed), kept(first, fixed)], [['rootfs'], ['rootfs']]);
});
