// Which overlays a VM must still have: those that its record says were made.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  areSameOverlays,
  madeOverlays,
  overlaysWith,
} from '../../../src/engine/media/kept-overlays.ts';
import { mediaPlanOf } from '../../../src/engine/media/media-plan.ts';
import type { OverlayRecord } from '../../../src/engine/records.ts';
import type { VmConfig } from '../../../src/schema/vm-config.ts';

interface Disk {
  readonly name: string;
  readonly source: string;
  readonly readonly?: boolean;
}

function config(root: string, disks: readonly Disk[] = []): VmConfig {
  const manifest = { initramfs: {}, rootfs: { url: root }, disks };
  return { manifest, resources: { memory_mb: 64 } } as unknown as VmConfig;
}

const ROOT = '/images/root.raw';
const DATA = { name: 'data', source: '/images/data.raw' };

function noted(before: readonly OverlayRecord[], wanted: VmConfig): readonly OverlayRecord[] {
  const { disks } = mediaPlanOf(wanted);
  const provided = disks.map(() => ({
    path: '',
    format: 'raw' as const,
    basePath: null,
    sizeBytes: 512,
  }));
  return overlaysWith(before, disks, provided);
}

const named = (overlays: readonly OverlayRecord[]) =>
  overlays.map(({ name, location }) => `${name} ${location}`).sort();

suite('the overlays that a record names', () => {
  test('are those that were made, also of disks that the VM does not have at present', () => {
    const both = noted([], config(ROOT, [DATA]));
    assert.deepEqual(named(both), ['data /images/data.raw', `rootfs ${ROOT}`]);
    assert.ok(areSameOverlays(both, noted(both, config(ROOT, [DATA]))));
    assert.deepEqual(named(noted(both, config(ROOT))), named(both));
    const moved = noted(both, config('/images/other.raw', [DATA]));
    assert.deepEqual(named(moved), ['data /images/data.raw', 'rootfs /images/other.raw']);
    assert.equal(areSameOverlays(both, moved), false);
  });

  test('are none of disks that are read only, but one of before stays where the image does', () => {
    const fixed = (source: string) => config(ROOT, [{ ...DATA, source, readonly: true }]);
    assert.deepEqual(named(noted([], fixed(DATA.source))), [`rootfs ${ROOT}`]);
    const both = noted([], config(ROOT, [DATA]));
    assert.deepEqual(named(noted(both, fixed(DATA.source))), named(both));
    assert.deepEqual(named(noted(both, fixed('/images/other.raw'))), [`rootfs ${ROOT}`]);
  });

  test('count, whatever the configs of the VM have been', () => {
    const overlays = noted([], config(ROOT));
    const plan = mediaPlanOf(config(ROOT, [DATA]));
    const never = () => assert.fail('configs are not asked');
    const made = madeOverlays({ neverRan: false, overlays }, plan, never);
    assert.deepEqual([...made.keys()], ['rootfs']);
    assert.equal(made.get('rootfs')?.sizeBytes, 512);
  });
});

suite('a record of an earlier version', () => {
  const kept = (newest: VmConfig, ...older: VmConfig[]) => {
    const made = madeOverlays({ neverRan: false }, mediaPlanOf(newest), () => [newest, ...older]);
    return [...made.keys()].sort();
  };

  test('has the overlays that every config has on the same image', () => {
    const first = config(ROOT, [DATA]);
    assert.deepEqual(kept(first), ['data', 'rootfs']);
    assert.deepEqual(kept(first, first), ['data', 'rootfs']);
    // One that came later, and one that got another image, may never have been made.
    assert.deepEqual(kept(first, config(ROOT)), ['rootfs']);
    assert.deepEqual(kept(first, config('/images/other.raw', [DATA])), ['data']);
    assert.deepEqual(kept(first, config('/images/other.raw', [DATA]), first), ['data']);
    // One that is not written to has no overlay.
    const fixed = config(ROOT, [{ ...DATA, readonly: true }]);
    assert.deepEqual([kept(fixed), kept(first, fixed)], [['rootfs'], ['rootfs']]);
  });

  test('that never ran has none', () => {
    const first = config(ROOT, [DATA]);
    const made = madeOverlays({ neverRan: true }, mediaPlanOf(first), () => [first]);
    assert.equal(made.size, 0);
  });
});
