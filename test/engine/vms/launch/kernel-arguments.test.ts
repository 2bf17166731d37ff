// What the agent gets on the kernel's command line: where the root file system is, and the manifest
// where it fits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeCmdline } from '../../../../src/engine/vms/launch/kernel-arguments.ts';

const AGENT = {
  plugin: 'p',
  runtime: 'r',
  hostName: 'h',
  bootsFromDisk: true,
  apiHost: '10.0.0.1',
  apiPort: '7777',
  hasMetadata: false,
};

const ownOf = (visible: string, bootsFromDisk = true) => {
  const { cmdline } = completeCmdline(visible, { ...AGENT, bootsFromDisk }, '{}', 2048);
  return cmdline.slice(visible.length).match(/volant\.(boot|rootfs_\w+)=\S+/g);
};

test('the root file system is on the first disk, or where root= says', () => {
  const whole = ['volant.boot=rootfs', 'volant.rootfs_device=vda'];
  assert.deepEqual(ownOf('quiet'), whole);
  assert.deepEqual(ownOf('root=/dev/vda1 ro'), ['volant.boot=rootfs', 'volant.rootfs_device=vda1']);
  assert.deepEqual(ownOf('root=/dev/vda1 rootfstype=ext4 root=/dev/vda15'), [
    'volant.boot=rootfs',
    'volant.rootfs_device=vda15',
    'volant.rootfs_fstype=ext4',
  ]);
  // What only an initramfs of a distribution could make out leaves the disk as it is.
  assert.deepEqual(ownOf('root=LABEL=cloudimg-rootfs myroot=/dev/vdb'), whole);
  assert.deepEqual(ownOf('root=/dev/vda1', false), ['volant.boot=initramfs']);
});

test('a manifest that is clearly too large is not packed first', () => {
  const manifest = JSON.stringify({ text: 'a'.repeat(100_000) });
  const { cmdline, manifestOverChannel } = completeCmdline('quiet', AGENT, manifest, 2048);
  assert.equal(manifestOverChannel, true);
  assert.match(cmdline, /volant\.manifest_source=channel/);
});

test('a manifest waits for the metadata of its guest, however short it is', () => {
  const { cmdline, manifestOverChannel } = completeCmdline(
    'quiet',
    { ...AGENT, hasMetadata: true },
    '{}',
    2048,
  );
  assert.equal(manifestOverChannel, true);
  assert.doesNotMatch(cmdline, /volant\.manifest=/);
});
