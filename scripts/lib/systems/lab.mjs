// scripts: the lab: an emulated virtual machine with an IOMMU. Its root is this machine's root, read-only, with a layer in
// memory on top. It has what most build machines lack: a KVM that boots kernels, VFIO with IOMMU groups, vhost-vsock and
// cgroup version 2 with every controller.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setPriority, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { Failure, findCommand, run } from '../command.mjs';
import { writeCpio } from '../guest/cpio.mjs';
import { collectModules } from '../guest/kernel-modules.mjs';
import { BUILD, PROJECT_ROOT } from '../paths.mjs';
import { packagesFor } from './packages.mjs';

const VIRTIOFSD = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'];
const MEMORY_MB = 2048;
const LAB_NICENESS = -10;
const TIMEOUT_MS = 600_000;
const SOCKET_WAIT_MS = 5_000;
const DISK_BYTES = 16 * 2 ** 20;
const DISK_WORD_OFFSET = 15 * 2 ** 20;

/** Modules that are loaded before the root is mounted. */
const BOOT_MODULES = ['virtio_pci', 'fuse', 'virtiofs', 'overlay', 'button'];

/** Modules that are loaded from the root. */
const LAB_MODULES = [
  'kvm-amd',
  'vfio-pci',
  'vfio_iommu_type1',
  'vhost_vsock',
  'tun',
  'virtio_net',
  'bridge',
  'nf_tables',
  'nft_chain_nat',
  'nft_masq',
  'nft_ct',
  'nft_nat',
  'nft_fib_ipv4',
  'nft_numgen',
  'nft_limit',
  'nft_redir',
  'nft_reject_ipv4',
  'nft_meta_bridge',
  'nf_conntrack_netlink',
];

/** The line that reports the exit status of the command. */
const STATUS_LINE = /^VOLANT_LAB_STATUS=(\d+)$/;

/** A line that is printed at intervals while the machine works. */
const ALIVE_LINE = 'VOLANT_LAB_ALIVE';
const ALIVE_SECONDS = 5;
const SILENCE_MS = 90_000;

/** The exit status for a lab that hung or ended: QEMU's emulation of a processor with virtualisation hangs at times. */
export const LAB_LOST = 125;

/**
 * Devices for the tests: one alone in its IOMMU group, a network card and a disk with drivers of their own, a card with two
 * functions without a driver, and two devices that share a group behind a bridge, one of them with a driver.
 */
function devices(disk) {
  return [
    ['-device', 'edu'],
    ['-device', 'virtio-net-pci,romfile=,iommu_platform=on,disable-legacy=on'],
    ['-drive', `file=${disk},format=raw,if=none,id=disk0`],
    ['-device', 'nvme,serial=lab,drive=disk0'],
    ['-device', 'pcie-root-port,id=port1,chassis=2'],
    ['-device', 'bochs-display,bus=port1,addr=0.0,multifunction=on'],
    ['-device', 'ich9-intel-hda,bus=port1,addr=0.1'],
    ['-device', 'pcie-root-port,id=port0,chassis=1'],
    ['-device', 'pcie-pci-bridge,id=bridge0,bus=port0'],
    ['-device', 'edu,bus=bridge0,addr=1'],
    ['-device', 'virtio-rng-pci,bus=bridge0,addr=2'],
  ].flat();
}

/** Why this machine cannot run the lab, as one sentence with a remedy, or null. */
export function labProblem() {
  if (process.getuid() !== 0) return 'The lab needs root: it shares the root directory.';
  if (findVirtiofsd() === undefined) {
    return `virtiofsd is missing: run \`apt-get install ${packagesFor().virtiofsd}\`.`;
  }
  if (findCommand('depmod') === null) return 'depmod is missing: run `apt-get install kmod`.';
  return null;
}

function findVirtiofsd() {
  return VIRTIOFSD.find((path) => existsSync(path));
}

/**
 * Runs a shell command as root in the lab, in the checkout. Resolves with its exit status. `onLine` gets each line of its
 * output. `kernel` is the result of setup's guestKernel().
 */
export async function runInLab({ command, kernel, busybox, onLine }) {
  const problem = labProblem();
  if (problem !== null) throw new Failure(problem);
  await indexModules(kernel.modulesDirectory);
  const directory = mkdtempSync(join(tmpdir(), 'volant-lab-'));
  const children = [];
  try {
    const initramfs = join(directory, 'lab.cpio');
    writeFileSync(initramfs, Buffer.concat([...writeCpio(entries({ command, kernel, busybox }))]));
    const socket = join(directory, 'root.sock');
    children.push(await shareRoot(socket));
    const disk = join(directory, 'disk.img');
    makeDisk(disk);
    const machine = spawn('qemu-system-x86_64', machineArguments(initramfs, socket, disk), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(machine);
    // The lab has a high priority: it is slow, and the tests beside it can wait.
    if (machine.pid !== undefined) setPriority(machine.pid, LAB_NICENESS);
    return await follow(machine, onLine);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

/** An empty disk, except for a word by which a guest can verify that it has read from the disk. */
function makeDisk(path) {
  const disk = Buffer.alloc(DISK_BYTES);
  disk.write('volant', DISK_WORD_OFFSET);
  writeFileSync(path, disk);
}

/** modprobe needs an index, which an unpacked package does not have. */
async function indexModules(modulesDirectory) {
  if (existsSync(join(modulesDirectory, 'modules.dep'))) return;
  await run('depmod', ['-b', rootOf(modulesDirectory), basename(modulesDirectory)]);
}

/** The root directory in the sense of modprobe and depmod: the one that contains lib/modules. */
function rootOf(modulesDirectory) {
  return modulesDirectory.replace(/\/lib\/modules\/[^/]+$/, '') || '/';
}

async function shareRoot(socket) {
  const args = [`--socket-path=${socket}`, '-o', 'source=/', '-o', 'cache=always'];
  const child = spawn(findVirtiofsd(), ['-f', ...args, '-o', 'sandbox=chroot'], {
    stdio: 'ignore',
  });
  const deadline = performance.now() + SOCKET_WAIT_MS;
  while (!existsSync(socket)) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Failure('virtiofsd did not start: the lab has no root directory.');
    }
    await pause(20);
  }
  return child;
}

function machineArguments(initramfs, socket, disk) {
  return [
    // The IOMMU must be the first device.
    ['-M', 'q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,kernel-irqchip=off'],
    ['-device', 'intel-iommu,intremap=on,caching-mode=on'],
    ['-accel', 'tcg,thread=multi', '-smp', '3', '-m', String(MEMORY_MB)],
    ['-cpu', 'qemu64,+svm,+npt,+rdrand,+arat,+ssse3,+sse4.1,+sse4.2,+popcnt'],
    ['-object', `memory-backend-memfd,id=mem,size=${MEMORY_MB}M,share=on`],
    ['-numa', 'node,memdev=mem'],
    ['-nodefaults', '-no-user-config', '-nographic', '-serial', 'stdio', '-no-reboot'],
    ['-kernel', join(BUILD.images, 'vmlinux'), '-initrd', initramfs],
    ['-append', kernelArguments()],
    ['-chardev', `socket,id=root,path=${socket}`],
    ['-device', 'vhost-user-fs-pci,chardev=root,tag=root'],
    devices(disk),
  ].flat();
}

function kernelArguments() {
  const [, mhz] = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
  // An emulated kernel cannot measure its clock on a busy host, so it gets the frequency.
  const clock = mhz === undefined ? [] : [`tsc_early_khz=${Math.round(Number(mhz) * 1000)}`];
  return [
    'console=ttyS0 quiet panic=-1 no_timer_check cryptomgr.notests mitigations=off init_on_alloc=0',
    'random.trust_cpu=on lsm= intel_iommu=on tsc=reliable',
    ...clock,
  ].join(' ');
}

function entries({ command, kernel, busybox }) {
  const files = new Map();
  const add = (path, text, mode = 0o755) =>
    files.set(path, { type: 'file', mode, content: Buffer.from(text) });
  for (const path of ['proc', 'sys', 'dev', 'lower', 'layer', 'root']) {
    files.set(path, { type: 'directory', mode: 0o755 });
  }
  files.set('bin/busybox', { type: 'file', mode: 0o755, content: readFileSync(busybox) });
  files.set('dev/console', { type: 'character', mode: 0o600, major: 5, minor: 1 });
  const modules = collectModules(kernel.modulesDirectory, BOOT_MODULES);
  for (const { name, content } of modules) {
    files.set(`mods/${name}.ko`, { type: 'file', mode: 0o644, content });
  }
  add('init', initScript(modules.map(({ name }) => name)));
  add('lab.sh', labScript(kernel));
  add('command.sh', `${command}\n`);
  return files;
}

function initScript(modules) {
  return `#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
${modules.map((name) => `insmod /mods/${name}.ko`).join('\n')}
mount -t virtiofs -o ro root /lower || poweroff -f
mount -t tmpfs -o size=75% layer /layer && mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root || poweroff -f
cd /root
mount -t proc proc proc; mount -t sysfs sys sys; mount -t devtmpfs dev dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts; mount -t tmpfs shm dev/shm; mount -t tmpfs run run
mount -t cgroup2 cgroup sys/fs/cgroup
cp /lab.sh /command.sh run/
chroot /root /bin/bash /run/lab.sh
poweroff -f
`;
}

function labScript(kernel) {
  return `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export PATH="${join(process.execPath, '..')}:$PATH" VOLANT_LAB=1 NO_COLOR=1
hostname lab; ip link set lo up
modprobe -d ${rootOf(kernel.modulesDirectory)} -a ${LAB_MODULES.join(' ')}
cd ${PROJECT_ROOT}
(while sleep ${ALIVE_SECONDS}; do echo ${ALIVE_LINE}; done) &
bash /run/command.sh
echo "VOLANT_LAB_STATUS=$?"
`;
}

/** Resolves with the exit status of the command; LAB_LOST if the machine ended or was silent for too long. */
function follow(machine, onLine) {
  let status = LAB_LOST;
  const timer = setTimeout(() => machine.kill('SIGKILL'), TIMEOUT_MS);
  const silence = setTimeout(() => machine.kill('SIGKILL'), SILENCE_MS);
  createInterface({ input: machine.stdout }).on('line', (line) => {
    silence.refresh();
    const text = line.replace(/\r$/, '');
    const match = STATUS_LINE.exec(text);
    if (match !== null) status = Number(match[1]);
    else if (!text.endsWith(ALIVE_LINE)) onLine(text);
  });
  return new Promise((resolve, reject) => {
    machine.once('error', reject);
    machine.once('close', () => {
      clearTimeout(timer);
      clearTimeout(silence);
      resolve(status);
    });
  });
}
