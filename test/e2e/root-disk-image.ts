// test helpers: a root disk, made from busybox: an ext4 file system with a system that serves scripts.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';

const SCRIPTS: Readonly<Record<string, string>> = {
  root: "grep ' / ' /proc/mounts | tail -1",
  init: 'tr "\\0" " " </proc/1/cmdline',
  mounts: 'cat /proc/mounts',
  // What is asked twice is done once.
  count: 'f=/root/count; grep -qx "$QUERY_STRING" $f || echo "$QUERY_STRING" >>$f; sync; wc -l <$f',
  data: 'f=/data/file; grep -qx "$QUERY_STRING" $f || echo "$QUERY_STRING" >>$f; sync; cat $f',
};

/** An ext4 file system with a busybox system that serves the scripts above. */
export function makeRootDisk(home: string): string {
  const tree = join(home, 'tree');
  for (const name of ['bin', 'dev', 'etc/init.d', 'proc', 'sys', 'run', 'root', 'tmp', 'sbin']) {
    mkdirSync(join(tree, name), { recursive: true });
  }
  const scripts = join(tree, 'srv/cgi-bin');
  mkdirSync(scripts, { recursive: true });
  for (const [name, command] of Object.entries(SCRIPTS)) {
    const text = `#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n${command}\n`;
    writeFileSync(join(scripts, name), text);
    chmodSync(join(scripts, name), 0o755);
  }
  copyFileSync(busybox(), join(tree, 'bin/busybox'));
  chmodSync(join(tree, 'bin/busybox'), 0o755);
  const applets = execFileSync(busybox(), ['--list'], { encoding: 'utf8' }).split('\n');
  for (const applet of applets.filter((name) => name !== '' && name !== 'busybox')) {
    symlinkSync('/bin/busybox', join(tree, 'bin', applet));
  }
  symlinkSync('/bin/busybox', join(tree, 'sbin/init'));
  writeFileSync(
    join(tree, 'etc/inittab'),
    '::respawn:/bin/httpd -f -p 127.0.0.1:8000 -h /srv\n::ctrlaltdel:/bin/reboot\n',
  );
  const image = join(home, 'images/root.raw');
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', tree, image, '64M']);
  const data = join(home, 'data-tree');
  mkdirSync(data);
  writeFileSync(join(data, 'file'), 'of the image\n');
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', data, join(home, 'images/data.raw'), '16M']);
  rmSync(tree, { recursive: true });
  return image;
}

function busybox(): string {
  const found = execFileSync(
    process.execPath,
    ['-e', "import('./scripts/lib/systems/debian.mjs').then((m) => console.log(m.findBusybox()))"],
    { cwd: PROJECT_ROOT, encoding: 'utf8' },
  );
  return found.trim();
}
