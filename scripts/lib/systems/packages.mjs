// scripts: names of Debian and Ubuntu packages, by release, as data. debian.mjs installs and unpacks them.

import { existsSync, readFileSync } from 'node:fs';

/** Packages, and the commands or files that show that one is installed; one of the commands is enough. */
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
  { package: 'skopeo', commands: ['skopeo'] },
  { package: 'e2fsprogs', commands: ['mke2fs'] },
];

/** Packages that only the tests need, under the same name in every release. */
const TEST_TOOLS = [
  { package: 'mmdebstrap', commands: ['mmdebstrap'] },
  { package: 'mtools', commands: ['mcopy'] },
  { package: 'dosfstools', commands: ['fsck.vfat'] },
  { package: 'dnsmasq-base', commands: ['dnsmasq'] },
  { package: 'socat', commands: ['socat'] },
  { package: 'make', commands: ['make'] },
  { package: 'python3', commands: ['python3'] },
  { package: 'umoci', commands: ['umoci'] },
  { package: 'docker-registry', commands: ['docker-registry'] },
  { package: 'kmod', commands: ['modprobe'] },
  { package: 'pciutils', commands: ['lspci'] },
  { package: 'openssl', commands: ['openssl'] },
  { package: 'nginx-light', commands: ['nginx'] },
  { package: 'haproxy', commands: ['haproxy'] },
  { package: 'prometheus', commands: ['promtool'] },
  { package: 'wrk', commands: ['wrk'] },
  { package: 'systemd', commands: ['systemd-analyze'] },
];

const CADDY = { package: 'caddy', commands: ['caddy'] };

/** Packages that `npm run fuzz` needs; libFuzzer is a package of its own in most releases. */
const CLANG = { package: 'clang', commands: ['clang'] };
const libFuzzer = (version, directory) => ({
  package: `libclang-rt-${version}-dev`,
  commands: [],
  file: `/usr/lib/llvm-${version}/lib/clang/${directory}/lib/linux/libclang_rt.fuzzer-x86_64.a`,
});

/** Ubuntu's package with this name installs a snap. */
const CHROMIUM = { package: 'chromium', commands: ['chromium'] };

/**
 * Differences between releases, oldest first. `kernel` lists meta-packages of kernels for guests, best first. `virtiofsd`
 * is the package of the program that shares a directory with a guest. `testTools` are test packages that not every release
 * has, `fuzzTools` those for fuzzing.
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

/** The fields of an os-release file, without quotes. */
export function parseOsRelease(text) {
  const lines = text.matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm);
  return Object.fromEntries([...lines].map(([, key, , value]) => [key, value]));
}

/** The fields of /etc/os-release of this system; none if there is no such file. */
export function readOsRelease() {
  const file = '/etc/os-release';
  return existsSync(file) ? parseOsRelease(readFileSync(file, 'utf8')) : {};
}

/**
 * The packages of a release: { tools, testTools, fuzzTools, kernel, busybox, virtiofsd }. A release that is not in the
 * table gets the newest row that is not newer than itself, otherwise the newest row, of its own ID or of one in ID_LIKE.
 */
export function packagesFor(osRelease = readOsRelease()) {
  const row = rowFor(osRelease);
  return { ...row, tools: TOOLS, testTools: [...TEST_TOOLS, ...row.testTools] };
}

function rowFor({ ID = '', ID_LIKE = '', VERSION_ID = '' }) {
  const family = [ID, ...ID_LIKE.split(' ')].find((id) => RELEASES.some((row) => row.id === id));
  const rows = RELEASES.filter((row) => row.id === (family ?? 'debian'));
  // The version of a derived system does not match the versions of its parent.
  const version = family === ID ? Number.parseFloat(VERSION_ID) : Number.NaN;
  const reached = rows.findLast((row) => Number.parseFloat(row.versionId) <= version);
  return reached ?? (version < Number.parseFloat(rows[0].versionId) ? rows[0] : rows.at(-1));
}
