// test helpers: a container image made from busybox, which serves scripts.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { PROJECT_ROOT } from '../helpers/capabilities.ts';
import { directory, type Entry, type ImageSpec, tar } from '../host/jobs/images/image-maker.ts';

const script = (command: string) =>
  `#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n${command}\n`;

const SCRIPTS: Readonly<Record<string, string>> = {
  id: 'id; pwd; echo "$HOME $GREETING $PATH"; tr "\\0" " " </proc/$PPID/cmdline',
  root: "grep ' / ' /proc/mounts | tail -1; ls /gone /run/kept /tmp/kept 2>&1; ls -l /bin/su",
  count:
    'f=/srv/data/count; grep -qx "$QUERY_STRING" $f || echo "$QUERY_STRING" >>$f; sync; wc -l <$f',
};

/** The static busybox of this host. */
export function busybox(): Buffer {
  const path = execFileSync(
    process.execPath,
    ['-e', "import('./scripts/lib/systems/debian.mjs').then((m) => console.log(m.findBusybox()))"],
    { cwd: PROJECT_ROOT, encoding: 'utf8' },
  ).trim();
  return readFileSync(path);
}

/** One static program and nothing else: no shell, no users, no directories. It prints its arguments. */
export function loneProgramImage(): ImageSpec {
  return {
    layers: [{ tar: tar({ path: 'busybox-alone', content: busybox(), mode: 0o755 }) }],
    config: { Entrypoint: ['/busybox-alone', 'echo'] },
  };
}

/** A file system of two layers, with a user and scripts. The second hides and changes some of the first. */
export function busyboxImage(config: object = {}): ImageSpec {
  const applets = ['sh', 'httpd', 'id', 'grep', 'tail', 'ls', 'tr', 'cat', 'wc', 'sync', 'sleep'];
  const links = applets.map(
    (name): Entry => ({ path: `usr/bin/${name}`, type: '2', target: 'busybox' }),
  );
  const scripts = Object.entries(SCRIPTS).map(
    ([name, command]): Entry => ({
      path: `srv/www/cgi-bin/${name}`,
      content: script(command),
      mode: 0o755,
    }),
  );
  return {
    layers: [
      {
        tar: tar(
          directory('usr/'),
          directory('usr/bin/'),
          { path: 'bin', type: '2', target: 'usr/bin' },
          { path: 'usr/bin/busybox', content: busybox(), mode: 0o755 },
          ...links,
          directory('etc/'),
          {
            path: 'etc/passwd',
            content: 'root:x:0:0::/root:/bin/sh\nweb:x:1234:1235::/srv/data:/bin/sh\n',
          },
          { path: 'etc/group', content: 'root:x:0:\nweb:x:1235:\nextra:x:77:nobody,web\n' },
          { path: 'gone', content: 'hidden by the next layer' },
        ),
      },
      {
        tar: tar(
          { path: '.wh.gone' },
          directory('srv/'),
          directory('srv/www/'),
          directory('srv/www/cgi-bin/'),
          ...scripts,
          directory('srv/data/', { uid: 1234, gid: 1235 }),
          directory('run/'),
          { path: 'run/kept', content: 'of the image' },
          directory('tmp/', { mode: 0o1777 }),
          { path: 'tmp/kept', content: 'of the image' },
          { path: 'bin/su', type: '1', target: 'usr/bin/busybox', mode: 0o4755 },
        ),
      },
    ],
    config: {
      User: 'web',
      Entrypoint: ['/bin/busybox', 'httpd'],
      Cmd: ['-f', '-p', '8000', '-h', '/srv/www'],
      Env: ['PATH=/usr/bin:/bin', 'GREETING=of-the-image'],
      WorkingDir: '/srv/www',
      ExposedPorts: { '9000/udp': {}, '8000/tcp': {} },
      Labels: { maintainer: 'test' },
      StopSignal: 'SIGINT',
      Volumes: { '/srv/data': {} },
      ...config,
    },
  };
}
