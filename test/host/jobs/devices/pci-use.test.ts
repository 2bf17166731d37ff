// What of the host needs a PCI device, wherever it hangs below it: taking the device away would take the host's
// network or its disks. On a tree like sysfs, with the mounts of this machine.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readUses } from '../../../../src/host/jobs/devices/pci-use.ts';

const CARD = 'devices/pci0000:00/0000:00:01.0/0000:01:00.0';

/** A root with files; those that end in "/" are directories. */
function tree(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'volant-sysfs-'));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, CARD), { recursive: true });
  mkdirSync(join(root, 'bus/pci/devices'), { recursive: true });
  symlinkSync(join(root, CARD), join(root, 'bus/pci/devices/0000:01:00.0'));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(path.endsWith('/') ? join(root, path) : dirname(join(root, path)), {
      recursive: true,
    });
    if (!path.endsWith('/')) writeFileSync(join(root, path), text);
  }
  return {
    /** What hangs below the card, as a class lists it. */
    link: (member: string, path: string) => {
      mkdirSync(join(root, 'class', dirname(member)), { recursive: true });
      symlinkSync(join(root, CARD, path), join(root, 'class', member));
    },
    /** A file that cannot be read: the speed of a loopback interface is EINVAL. */
    refuse: (path: string) => symlinkSync('/sys/class/net/lo/speed', join(root, path)),
    use: () => readUses(root)(join(root, 'bus/pci/devices/0000:01:00.0')),
  };
}

/** Number of a disk that is mounted here, whatever it is. */
const [, mountedNumber = ''] =
  /^\d+ \d+ (\d+:\d+) /m.exec(readFileSync('/proc/self/mountinfo', 'utf8')) ?? [];

test('a network interface that is up, also behind virtio; one that is down is nobody’s', (t) => {
  const { link, use } = tree(t, { [`${CARD}/virtio0/net/eth9/flags`]: '0x1003\n' });
  assert.equal(use(), null, 'no class lists it yet');
  link('net/eth9', 'virtio0/net/eth9');
  assert.equal(use(), 'network interface eth9 is up');
  const down = tree(t, { [`${CARD}/net/eth8/flags`]: '0x1002\n' });
  down.link('net/eth8', 'net/eth8');
  assert.equal(down.use(), null);
});

test('an interface that goes while it is looked at is nobody’s, and hides no other', (t) => {
  const interfaces = { [`${CARD}/net/eth7/flags`]: '0x1003\n', [`${CARD}/net/eth6/`]: '' };
  const { link, refuse, use } = tree(t, interfaces);
  // As the kernel answers for what it is about to remove: the file is there and refuses to be read.
  refuse(`${CARD}/net/eth6/flags`);
  for (const name of ['eth6', 'eth7']) link(`net/${name}`, `net/${name}`);
  assert.equal(use(), 'network interface eth7 is up');
});

test('a partition that is mounted, on a disk behind a controller', (t) => {
  const disk = 'ata1/host0/target0:0:0/0:0:0:0/block/sdz';
  const { link, use } = tree(t, { [`${CARD}/${disk}/sdz1/dev`]: `${mountedNumber}\n` });
  link('block/sdz1', `${disk}/sdz1`);
  assert.equal(use(), 'disk sdz1 is mounted');
});

test('a disk that is a part of a volume group, an array or an encrypted disk', (t) => {
  const { link, use } = tree(t, { [`${CARD}/nvme/nvme9/nvme9n1/holders/dm-3/`]: '' });
  link('block/nvme9n1', 'nvme/nvme9/nvme9n1');
  assert.equal(use(), 'disk nvme9n1 is a part of dm-3');
});

test('a disk of which nobody has anything is free', (t) => {
  const { link, use } = tree(t, { [`${CARD}/nvme/nvme9/nvme9n1/dev`]: '4000:1\n' });
  link('block/nvme9n1', 'nvme/nvme9/nvme9n1');
  assert.equal(use(), null);
});
