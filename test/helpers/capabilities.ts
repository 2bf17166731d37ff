// test helpers: what this machine must have for a test. A test that cannot run says so loudly; with
// VOLANT_TEST_REQUIRE=all it fails instead, so that a build machine never passes by skipping.

import { accessSync, closeSync, constants, existsSync, openSync } from 'node:fs';
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
  | 'chromium'
  | 'debian'
  | 'openapi-tools';

/** The checkout, seen from .build/test/helpers. */
export const PROJECT_ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Programs that judge the OpenAPI document, and a generator of clients. */
export const OPENAPI_TOOLS = `${PROJECT_ROOT}build/openapi-tools`;

/** Where `npm run setup` puts what guests boot from. */
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
  chromium: {
    present: () => isExecutable('/usr/bin/chromium'),
    remedy: 'install chromium as a package of Debian (Ubuntu has it as a snap only)',
  },
  debian: {
    present: () => existsSync(`${IMAGES}/debian.img`),
    remedy: 'run the tests by npm test, as root and with mmdebstrap installed',
  },
  'openapi-tools': {
    present: () => existsSync(`${OPENAPI_TOOLS}/node_modules`),
    remedy: 'run the tests by npm test, with a way to the npm registry',
  },
  kernel: { present: () => existsSync(`${IMAGES}/vmlinux`), remedy: 'npm run setup' },
  lab: {
    present: () => process.env['VOLANT_LAB'] === '1',
    remedy: 'run them by npm run test:lab, as root and with virtiofsd installed',
  },
  cgroup2: {
    present: () =>
      existsSync('/sys/fs/cgroup/cgroup.procs') ||
      existsSync('/sys/fs/cgroup/unified/cgroup.procs'),
    remedy: 'mount cgroup2',
  },
};

/** Returns true when the test may go on. Otherwise the test is skipped, or fails under VOLANT_TEST_REQUIRE=all. */
export function requireCapability(context: TestContext, ...needed: Capability[]): boolean {
  for (const capability of needed) {
    if (CHECKS[capability].present()) continue;
    const reason = `needs ${capability}: ${CHECKS[capability].remedy}`;
    if (process.env['VOLANT_TEST_REQUIRE'] === 'all') throw new Error(reason);
    process.stderr.write(`SKIPPED ${context.name}: ${reason}\n`);
    context.skip(reason);
    return false;
  }
  return true;
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
