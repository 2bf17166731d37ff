// test helpers: checks that this machine has what a test needs. A test that cannot run is skipped with its reason. With
// VOLANT_TEST_REQUIRE=all it fails instead, so that a build machine never passes by skipping.

import { accessSync, closeSync, constants, existsSync, openSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

type Capability =
  | 'root'
  | 'tun'
  | 'netns'
  | 'qemu'
  | 'qemu-img'
  | 'kernel'
  | 'cgroup2'
  | 'lab'
  | 'mtools'
  | 'dnsmasq'
  | 'systemd-analyze'
  | 'unshare'
  | 'openssl'
  | 'nginx'
  | 'haproxy'
  | 'caddy'
  | 'prometheus'
  | 'wrk'
  | 'gcc'
  | 'cmake'
  | 'make'
  | 'python3'
  | 'musl-gcc'
  | 'mke2fs'
  | 'skopeo'
  | 'docker-registry'
  | 'umoci'
  | 'ipv6'
  | 'node-gyp'
  | 'node-headers'
  | 'chromium'
  | 'debian'
  | 'openapi-tools';

/** The checkout, relative to .build/test/helpers. */
export const PROJECT_ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The installation directory of the Node that runs the tests, and its node-gyp. */
export const NODE_PREFIX = resolve(dirname(process.execPath), '..');
export const NODE_GYP = join(
  NODE_PREFIX,
  'lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js',
);

/** Programs that validate the OpenAPI document, and a client generator. */
export const OPENAPI_TOOLS = `${PROJECT_ROOT}build/openapi-tools`;

/** Images that `npm run setup` builds for guests. */
export const IMAGES = `${PROJECT_ROOT}build/images`;

const CHECKS: Record<Capability, { readonly present: () => boolean; readonly remedy: string }> = {
  root: { present: () => process.getuid?.() === 0, remedy: 'run as root' },
  tun: { present: canOpenTun, remedy: 'load the tun module and run as root' },
  netns: {
    present: () => isExecutable('/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip'),
    remedy: 'install iproute2',
  },
  qemu: { present: () => isExecutable('/usr/bin/qemu-system-x86_64'), remedy: 'npm run setup' },
  'qemu-img': { present: () => isExecutable('/usr/bin/qemu-img'), remedy: 'install qemu-utils' },
  mtools: {
    present: () => isExecutable('/usr/bin/mcopy') && isExecutable('/usr/sbin/fsck.vfat'),
    remedy: 'install mtools and dosfstools',
  },
  dnsmasq: {
    present: () => isExecutable('/usr/sbin/dnsmasq'),
    remedy: 'install dnsmasq-base',
  },
  'systemd-analyze': {
    present: () => isExecutable('/usr/bin/systemd-analyze', '/bin/systemd-analyze'),
    remedy: 'install systemd',
  },
  unshare: { present: () => isExecutable('/usr/bin/unshare'), remedy: 'install util-linux' },
  openssl: { present: () => isExecutable('/usr/bin/openssl'), remedy: 'install openssl' },
  nginx: { present: () => isExecutable('/usr/sbin/nginx'), remedy: 'install nginx-light' },
  haproxy: { present: () => isExecutable('/usr/sbin/haproxy'), remedy: 'install haproxy' },
  caddy: { present: () => isExecutable('/usr/bin/caddy'), remedy: 'install caddy' },
  prometheus: {
    present: () => isExecutable('/usr/bin/prometheus') && isExecutable('/usr/bin/promtool'),
    remedy: 'install prometheus',
  },
  wrk: { present: () => isExecutable('/usr/bin/wrk'), remedy: 'install wrk' },
  gcc: { present: () => isExecutable('/usr/bin/gcc'), remedy: 'install gcc' },
  cmake: { present: () => isExecutable('/usr/bin/cmake'), remedy: 'install cmake' },
  make: { present: () => isExecutable('/usr/bin/make'), remedy: 'install make' },
  python3: { present: () => isExecutable('/usr/bin/python3'), remedy: 'install python3' },
  'musl-gcc': { present: () => isExecutable('/usr/bin/musl-gcc'), remedy: 'install musl-tools' },
  mke2fs: {
    present: () => isExecutable('/usr/sbin/mke2fs', '/sbin/mke2fs'),
    remedy: 'install e2fsprogs',
  },
  skopeo: { present: () => isExecutable('/usr/bin/skopeo'), remedy: 'install skopeo' },
  umoci: { present: () => isExecutable('/usr/bin/umoci'), remedy: 'install umoci' },
  'docker-registry': {
    present: () => isExecutable('/usr/bin/docker-registry'),
    remedy: 'install docker-registry',
  },
  ipv6: { present: () => existsSync('/proc/net/if_inet6'), remedy: 'use a kernel with IPv6' },
  'node-gyp': {
    present: () => existsSync(NODE_GYP),
    remedy: 'use a Node with its npm, which contains node-gyp',
  },
  'node-headers': {
    present: () => existsSync(join(NODE_PREFIX, 'include/node/common.gypi')),
    remedy: 'use a Node with its headers (include/node)',
  },
  chromium: {
    present: () => isExecutable('/usr/bin/chromium'),
    remedy: 'install chromium as a package of Debian (Ubuntu has it as a snap only)',
  },
  debian: {
    present: () => existsSync(`${IMAGES}/debian.img`),
    remedy: 'run the tests with npm test, as root and with mmdebstrap installed',
  },
  'openapi-tools': {
    present: () => existsSync(`${OPENAPI_TOOLS}/node_modules`),
    remedy: 'run the tests with npm test and access to the npm registry',
  },
  kernel: { present: () => existsSync(`${IMAGES}/vmlinux`), remedy: 'npm run setup' },
  lab: {
    present: () => process.env['VOLANT_LAB'] === '1',
    remedy: 'run them with npm run test:lab, as root and with virtiofsd installed',
  },
  cgroup2: {
    present: () =>
      existsSync('/sys/fs/cgroup/cgroup.procs') ||
      existsSync('/sys/fs/cgroup/unified/cgroup.procs'),
    remedy: 'mount cgroup2',
  },
};

/** Returns true if the test can run. Otherwise the test is skipped, or fails under VOLANT_TEST_REQUIRE=all. */
export function requireCapability(context: TestContext, ...needed: Capability[]): boolean {
  for (const capability of needed) {
    if (CHECKS[capability].present()) continue;
    return requireThat(context, false, `needs ${capability}: ${CHECKS[capability].remedy}`);
  }
  return true;
}

/** Like requireCapability(), for a requirement of only one test: `reason` says what is missing and how to get it. */
export function requireThat(context: TestContext, isThere: boolean, reason: string): boolean {
  if (isThere) return true;
  if (process.env['VOLANT_TEST_REQUIRE'] === 'all') throw new Error(reason);
  process.stderr.write(`SKIPPED ${context.name}: ${reason}\n`);
  context.skip(reason);
  return false;
}

function isExecutable(...paths: string[]): boolean {
  return paths.some((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function canOpenTun(): boolean {
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return true;
  } catch {
    return false;
  }
}
