// scripts: which Debian and Ubuntu packages have what, by release, as data. How packages are installed or unpacked is
// debian.mjs's business.

import { existsSync, readFileSync } from 'node:fs';

/** A package and the commands, or else the file, that tell that it is there; one of the commands is enough. */
const TOOLS = [
  { package: 'qemu-system-x86', commands: ['qemu-system-x86_64'] },
  { package: 'qemu-utils', commands: ['qemu-img'] },
  { package: 'musl-tools', commands: ['musl-gcc'] },
  { package: 'g++', commands: ['g++'] },
  { package: 'cmake', commands: ['cmake'] },
  { package: 'ninja-build', commands: ['ninja', 'make'] },
  { package: 'binutils', commands: ['strip'] },
  { package: 'lz4', commands: ['lz4'] },
  { package: 'zstd', commands: ['zstd'] },
  { package: 'xz-utils', commands: ['xz'] },
  { package: 'nftables', commands: ['nft'] },
  { package: 'iproute2', commands: ['ip'] },
  { package: 'curl', commands: ['curl'] },
];

/** What only the tests need, and every release has. */
const TEST_TOOLS = [
  { package: 'mmdebstrap', commands: ['mmdebstrap'] },
  { package: 'mtools', commands: ['mcopy'] },
  { package: 'dosfstools', commands: ['fsck.vfat'] },
  { package: 'dnsmasq-base', commands: ['dnsmasq'] },
  { package: 'socat', commands: ['socat'] },
  { package: 'e2fsprogs', commands: ['mke2fs'] },
  { package: 'kmod', commands: ['modprobe'] },
  { package: 'pciutils', commands: ['lspci'] },
  { package: 'openssl', commands: ['openssl'] },
  { package: 'nginx-light', commands: ['nginx'] },
  { package: 'haproxy', commands: ['haproxy'] },
  { package: 'systemd', commands: ['systemd-analyze'] },
];

const CADDY = { package: 'caddy', commands: ['caddy'] };

/** What `npm run fuzz` needs besides; libFuzzer is a package of its own in most releases. */
const CLANG = { package: 'clang', commands: ['clang'] };
const libFuzzer = (version, directory) => ({
  package: `libclang-rt-${version}-dev`,
  commands: [],
  file: `/usr/lib/llvm-${version}/lib/clang/${directory}/lib/linux/libclang_rt.fuzzer-x86_64.a`,
});

/** Ubuntu's package of that name fetches a snap. */
const CHROMIUM = { package: 'chromium', commands: ['chromium'] };

/**
 * What differs between releases, oldest first. `kernel` lists meta-packages of kernels made for guests, best first.
 * `virtiofsd` has the program that shares a directory with a guest. `testTools` are those that not every release has,
 * `fuzzTools` those of the fuzzing.
 */
export const RELEASES = [
  {
    id: 'debian',
    versionId: '12',
    kernel: ['linux-image-cloud-amd64'],
    busybox: 'busybox-static',
    virtiofsd: 'qemu-system-common',
    testTools: [CADDY, CHROMIUM],
    fuzzTools: [CLANG, libFuzzer(14, '14.0.6')],
  },
  {
    id: 'debian',
    versionId: '13',
    kernel: ['linux-image-cloud-amd64'],
    busybox: 'busybox-static',
    virtiofsd: 'virtiofsd',
    testTools: [CADDY, CHROMIUM],
    fuzzTools: [CLANG, libFuzzer(19, '19')],
  },
  {
    id: 'ubuntu',
    versionId: '22.04',
    kernel: ['linux-image-kvm', 'linux-image-virtual'],
    busybox: 'busybox-static',
    virtiofsd: 'qemu-system-common',
    testTools: [],
    fuzzTools: [CLANG],
  },
  {
    id: 'ubuntu',
    versionId: '24.04',
    kernel: ['linux-image-virtual'],
    busybox: 'busybox-static',
    virtiofsd: 'virtiofsd',
    testTools: [CADDY],
    fuzzTools: [CLANG, libFuzzer(18, '18')],
  },
];

/** The fields of an os-release file, without their quotes. */
export function parseOsRelease(text) {
  const lines = text.matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm);
  return Object.fromEntries([...lines].map(([, key, , value]) => [key, value]));
}

/** What /etc/os-release of this system says; nothing where there is none. */
export function readOsRelease() {
  const file = '/etc/os-release';
  return existsSync(file) ? parseOsRelease(readFileSync(file, 'utf8')) : {};
}

/**
 * The packages of a release: { tools, testTools, fuzzTools, kernel, busybox, virtiofsd }. A release that is not in the table gets
 * the newest row that is not newer than itself, else the newest row, of its own ID or of one that ID_LIKE names.
 */
export function packagesFor(osRelease = readOsRelease()) {
  const row = rowFor(osRelease);
  return { ...row, tools: TOOLS, testTools: [...TEST_TOOLS, ...row.testTools] };
}

function rowFor({ ID = '', ID_LIKE = '', VERSION_ID = '' }) {
  const family = [ID, ...ID_LIKE.split(' ')].find((id) => RELEASES.some((row) => row.id === id));
  const rows = RELEASES.filter((row) => row.id === (family ?? 'debian'));
  // The version of a derived system says nothing about the system that it is derived from.
  const version = family === ID ? Number.parseFloat(VERSION_ID) : Number.NaN;
  const reached = rows.findLast((row) => Number.parseFloat(row.versionId) <= version);
  return reached ?? (version < Number.parseFloat(rows[0].versionId) ? rows[0] : rows.at(-1));
}
