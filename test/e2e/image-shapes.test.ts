// e2e: container images of the shapes that the most used public images have: how they name their program, their user, their
// directories and links. Each is made by hand here, and its program says in a real guest what it found.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import {
  directory,
  type Entry,
  type ImageSpec,
  tar,
  writeLayout,
} from '../host/jobs/images/image-maker.ts';
import { busybox } from './container-image.ts';
import { type Daemon, startDaemon } from './daemon.ts';

interface Shape {
  /** The public image whose shape it is, or what is special about it. */
  readonly like: string;
  readonly image: ImageSpec;
  /** Members of the manifest's workload that replace what the image says. */
  readonly workload?: object;
  /** Lines that the program prints, in this order. */
  readonly says: readonly string[];
  readonly exitCode?: number;
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const APPLETS = [
  'sh',
  'id',
  'pwd',
  'echo',
  'stat',
  'touch',
  'chown',
  'cat',
  'readlink',
  'env',
  'grep',
];
/** What its user, place and arguments are. */
const FACTS = 'echo "$(id -u):$(id -g) $(pwd) $HOME [$*]"';

const script = (path: string, ...lines: readonly string[]): Entry => ({
  path,
  content: `#!/bin/sh\n${lines.join('\n')}\n`,
  mode: 0o755,
});

/** Adds the program where there are only options. */
const completing = (program: string) => [
  `case "$1" in -*) set -- ${program} "$@";; esac`,
  'exec "$@"',
];

const link = (path: string, target: string): Entry => ({ path, type: '2', target });

function passwd(...users: readonly string[]): Entry[] {
  const lines = users.map((user) => `${user}::/nonexistent:/sbin/nologin\n`);
  const root = 'root:x:0:0:root:/root:/bin/sh\n';
  return [directory('etc/'), { path: 'etc/passwd', content: [root, ...lines].join('') }];
}

/** A layer of busybox in /bin, with its programs as symbolic links, and a second one with these entries. */
function withBusybox(entries: readonly Entry[], config: object): ImageSpec {
  const links = APPLETS.map((name) => link(`bin/${name}`, '/bin/busybox'));
  const program = { path: 'bin/busybox', content: busybox(), mode: 0o755 };
  const first = tar(directory('bin/'), program, ...links, directory('tmp/', { mode: 0o1777 }));
  return { layers: [{ tar: first }, { tar: tar(...entries) }], config: { Env: [PATH], ...config } };
}

/** The programs are names of one file. */
function withHardLinks(config: object): ImageSpec {
  const others = APPLETS.map(
    (name): Entry => ({ path: `bin/${name}`, type: '1', target: 'bin/[', mode: 0o755 }),
  );
  const first = { path: 'bin/[', content: busybox(), mode: 0o755 };
  return { layers: [{ tar: tar(directory('bin/'), first, ...others) }], config };
}

/** /bin, /lib and /lib64 are links into /usr, and the shell is a dynamic one. */
function withMergedUsr(config: object): ImageSpec {
  const file = (path: string): Entry => ({ path, content: readFileSync(`/${path}`), mode: 0o755 });
  const directories = ['usr/', 'usr/bin/', 'usr/lib/', 'usr/lib/x86_64-linux-gnu/', 'usr/lib64/'];
  const layer = tar(
    ...directories.map((path) => directory(path)),
    ...['bin', 'lib', 'lib64'].map((name) => link(name, `usr/${name}`)),
    file('usr/bin/dash'),
    link('usr/bin/sh', 'dash'),
    file('usr/lib/x86_64-linux-gnu/libc.so.6'),
    {
      path: 'usr/lib64/ld-linux-x86-64.so.2',
      content: readFileSync('/lib64/ld-linux-x86-64.so.2'),
      mode: 0o755,
    },
  );
  return { layers: [{ tar: layer }], config: { Env: [PATH], ...config } };
}

/** One static program. */
function alone(config: object): ImageSpec {
  return {
    layers: [{ tar: tar({ path: 'busybox-alone', content: busybox(), mode: 0o755 }) }],
    config,
  };
}

const SHAPES: readonly Shape[] = [
  {
    like: 'nginx: an entrypoint that prepares, logs that are links to the output',
    image: withBusybox(
      [
        script('docker-entrypoint.sh', 'set -e', ': >/var/run/nginx.pid', 'exec "$@"'),
        ...[directory('run/'), directory('var/'), link('var/run', '../run')],
        ...[directory('var/log/'), directory('var/log/nginx/')],
        link('var/log/nginx/access.log', '/dev/stdout'),
        ...[directory('usr/'), directory('usr/sbin/')],
        script('usr/sbin/nginx', 'echo "GET /" >/var/log/nginx/access.log', FACTS),
      ],
      {
        Entrypoint: ['/docker-entrypoint.sh'],
        Cmd: ['nginx', '-g', 'daemon off;'],
        ExposedPorts: { '80/tcp': {} },
        StopSignal: 'SIGQUIT',
      },
    ),
    says: ['GET /', '0:0 / /root [-g daemon off;]'],
  },
  {
    like: 'redis: an entrypoint that is found by PATH, a volume that it owns',
    image: withBusybox(
      [
        ...passwd('redis:x:999:1000'),
        ...[directory('usr/'), directory('usr/local/'), directory('usr/local/bin/')],
        script(
          'usr/local/bin/docker-entrypoint.sh',
          'chown redis . && touch dump.rdb',
          'exec "$@"',
        ),
        script('usr/local/bin/redis-server', FACTS, 'stat -c "%u %n" . dump.rdb'),
        directory('data/'),
      ],
      {
        Entrypoint: ['docker-entrypoint.sh'],
        Cmd: ['redis-server'],
        WorkingDir: '/data',
        Volumes: { '/data': {} },
        ExposedPorts: { '6379/tcp': {} },
      },
    ),
    says: ['0:0 /data /root []', '999 .', '0 dump.rdb'],
  },
  {
    like: 'postgres: directories with set-group-ID and sticky bits, which a user writes to',
    image: withBusybox(
      [
        ...passwd('postgres:x:999:999'),
        ...[directory('var/'), directory('var/lib/'), directory('var/lib/postgresql/')],
        directory('var/lib/postgresql/data/', { mode: 0o1777, uid: 999, gid: 999 }),
        directory('srv/', { mode: 0o3777, uid: 999, gid: 999 }),
      ],
      {
        User: 'postgres',
        Cmd: ['sh', '-c', 'touch $PGDATA/PG_VERSION; stat -c "%a %u:%g %n" /srv $PGDATA $PGDATA/*'],
        Env: [PATH, 'PGDATA=/var/lib/postgresql/data'],
        Volumes: { '/var/lib/postgresql/data': {} },
        StopSignal: 'SIGINT',
      },
    ),
    says: [
      '3777 999:999 /srv',
      '1777 999:999 /var/lib/postgresql/data',
      '644 999:999 /var/lib/postgresql/data/PG_VERSION',
    ],
  },
  {
    like: 'node: options in place of the command, which the entrypoint completes',
    image: withBusybox([script('entry.sh', ...completing('node')), script('bin/node', FACTS)], {
      Entrypoint: ['/entry.sh'],
      Cmd: ['node'],
    }),
    workload: { args: ['--eval', 'a b'] },
    says: ['0:0 / /root [--eval a b]'],
  },
  {
    like: 'python: a command without an entrypoint, which is replaced',
    image: withBusybox([script('bin/python3', FACTS)], { Cmd: ['no-such'] }),
    workload: { args: ['python3', '-c', 'print(1)'] },
    says: ['0:0 / /root [-c print(1)]'],
  },
  {
    like: 'alpine: a shell that is an absolute link, and nothing else',
    image: withBusybox([], { Cmd: ['/bin/sh'] }),
    workload: { args: ['sh', '-c', 'readlink /bin/sh; echo "$PATH"; exit 4'] },
    says: ['/bin/busybox', PATH.slice('PATH='.length)],
    exitCode: 4,
  },
  {
    like: 'busybox: hard links, and no environment at all',
    image: withHardLinks({ Cmd: ['sh', '-c', 'stat -c %h /bin/sh; echo "$PATH"'] }),
    says: [String(APPLETS.length + 1), PATH.slice('PATH='.length)],
  },
  {
    like: 'debian: /bin and /lib are links into /usr, and programs are dynamic',
    image: withMergedUsr({ Cmd: ['bash'] }),
    workload: { entrypoint: ['sh', '-c', 'echo dynamic $0'] },
    says: ['dynamic sh'],
  },
  {
    like: 'golang: a working directory that everybody may write to',
    image: withBusybox([directory('go/', { mode: 0o1777 })], {
      Cmd: ['sh', '-c', 'touch it; stat -c "%a %n" $GOPATH it'],
      Env: [PATH, 'GOPATH=/go'],
      WorkingDir: '/go',
    }),
    says: ['1777 /go', '644 it'],
  },
  {
    like: 'httpd: a program in a directory that only its PATH names',
    image: withBusybox(
      [
        ...['usr/', 'usr/local/', 'usr/local/apache2/'].map((path) => directory(path)),
        directory('usr/local/apache2/bin/'),
        script('usr/local/apache2/bin/httpd-foreground', FACTS),
      ],
      {
        Cmd: ['httpd-foreground'],
        Env: ['PATH=/usr/local/apache2/bin:/bin'],
        WorkingDir: '/usr/local/apache2',
        StopSignal: 'SIGWINCH',
      },
    ),
    says: ['0:0 /usr/local/apache2 /root []'],
  },
  {
    like: 'memcached: a user by name, with another group',
    image: withBusybox(
      [
        ...passwd('memcache:x:11211:11211'),
        { path: 'etc/group', content: 'root:x:0:\nmemcache:x:11211:\nextra:x:77:memcache\n' },
      ],
      { User: 'memcache', Cmd: ['sh', '-c', 'id -G; echo $HOME'] },
    ),
    says: ['11211 77', '/nonexistent'],
  },
  {
    like: 'traefik: an entrypoint that adds the program to options',
    image: withBusybox(
      [script('entrypoint.sh', ...completing('traefik')), script('bin/traefik', FACTS)],
      { Entrypoint: ['/entrypoint.sh'], Cmd: ['traefik'], ExposedPorts: { '80/tcp': {} } },
    ),
    workload: { args: ['--ping'] },
    says: ['0:0 / /root [--ping]'],
  },
  {
    like: 'hello-world: one static program, no shell, no users, no directories',
    image: alone({ Cmd: ['/busybox-alone', 'echo', 'Hello from it'] }),
    says: ['Hello from it'],
  },
  {
    like: 'distroless: a user by numbers that no file names, and no shell',
    image: alone({ Entrypoint: ['/busybox-alone', 'id'], User: '65532:65532' }),
    workload: { args: ['-u'] },
    says: ['65532'],
  },
  {
    like: 'prometheus: nobody, with options as its command',
    image: withBusybox(
      [
        ...passwd('nobody:x:65534:65534'),
        script('bin/prometheus', FACTS),
        directory('prometheus/', { uid: 65_534, gid: 65_534 }),
      ],
      {
        User: 'nobody',
        Entrypoint: ['/bin/prometheus'],
        Cmd: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/prometheus'],
        WorkingDir: '/prometheus',
        ExposedPorts: { '9090/tcp': {} },
        Volumes: { '/prometheus': {} },
      },
    ),
    says: [
      '65534:65534 /prometheus /nonexistent [--config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus]',
    ],
  },
  {
    like: 'grafana: a user by number without an entry, in the group of root',
    image: withBusybox([directory('var/', { uid: 472, gid: 0, mode: 0o775 })], {
      User: '472',
      Cmd: ['sh', '-c', 'touch /var/db; id -u; id -g; stat -c %u:%g /var/db; echo $HOME'],
    }),
    says: ['472', '0', '472:0', '/'],
  },
  {
    like: 'elasticsearch: user and group by number, an init as its entrypoint',
    image: withBusybox([script('bin/tini', 'shift', 'exec "$@"'), script('bin/eswrapper', FACTS)], {
      User: '1000:0',
      Entrypoint: ['/bin/tini', '--'],
      Cmd: ['eswrapper'],
    }),
    says: ['1000:0 / / []'],
  },
  {
    like: 'mongo: values of the environment with spaces, equals signs and nothing',
    image: withBusybox([], {
      Cmd: ['sh', '-c', 'echo "[$A][$B][$C]"; env | grep ^C='],
      Env: [PATH, 'A=a  b', 'B=c=d', 'C='],
    }),
    says: ['[a  b][c=d][]', 'C='],
  },
  {
    like: 'wordpress: a working directory that no layer has, for its user',
    image: withBusybox(passwd('www-data:x:33:33'), {
      User: 'www-data',
      Cmd: ['sh', '-c', 'pwd; stat -c %a .'],
      WorkingDir: '/var/www/html',
    }),
    says: ['/var/www/html', '755'],
  },
  {
    like: 'an image that was built with the shell form, with all that Docker adds to a config',
    image: withBusybox([], {
      Entrypoint: null,
      Cmd: ['/bin/sh', '-c', 'echo $GREETING; exit 3'],
      Env: [PATH, 'GREETING=hello'],
      Healthcheck: { Test: ['CMD-SHELL', 'exit 1'], Interval: 1_000_000_000 },
      OnBuild: ['RUN false'],
      Shell: ['/bin/sh', '-c'],
      ArgsEscaped: true,
      Labels: { 'org.opencontainers.image.title': 'Ünïcode "quoted"' },
      ExposedPorts: { '80': {}, '8000-8002/tcp': {} },
    }),
    says: ['hello'],
    exitCode: 3,
  },
];

/** Runs the image's program to its end. Returns what it printed, and how it ended. */
async function outcomeOf(daemon: Daemon, shape: Shape, index: number) {
  const layout = join(daemon.home, `images/shape-${index}`);
  writeLayout(layout, shape.image);
  const name = `shape-${index}`;
  const workload = { restart: 'never', ...shape.workload };
  const manifest = { name, image: `oci:${layout}`, workload };
  const request = { name, memory_mb: 160, config: { manifest } };
  const made = await daemon.call('POST', '/api/v1/vms?wait=exited&timeout=240000', request);
  assert.equal(made.status, 201, made.text);
  const { text } = await daemon.call('GET', `/api/v1/vms/${name}/console-log`);
  return {
    lines: text.split(/\r?\n/),
    exitCode: made.body.exit_code,
    reason: made.body.status_reason,
  };
}

test('images of twenty public shapes run as they do in a container', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel', 'mke2fs', 'skopeo')) return;
  const daemon = await startDaemon(t);
  await Promise.all(
    SHAPES.map(async (shape, index) => {
      const { lines, exitCode, reason } = await outcomeOf(daemon, shape, index);
      const said = lines.filter((line) => shape.says.includes(line));
      assert.deepEqual(
        said,
        shape.says,
        `${shape.like}: ${reason}\n${lines.slice(-20).join('\n')}`,
      );
      assert.equal(exitCode, shape.exitCode ?? 0, shape.like);
    }),
  );
});
