// scripts: finds a Linux kernel that a guest can boot, with its modules, and extracts the uncompressed kernel from its
// bzImage. debian.mjs downloads a kernel if the host has none.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { capture } from '../command.mjs';

/** Options that a kernel must have, built in or as a module; the names are those of its config file. */
const OPTIONS_NEEDED = [
  'ACPI',
  'BLK_DEV_INITRD',
  'DEVTMPFS',
  'SERIAL_8250_CONSOLE',
  'VIRTIO_CONSOLE',
  'VIRTIO_MMIO',
  'VIRTIO_NET',
  'VIRTIO_PCI',
];

/** Kernels for guests boot faster and are smaller than general ones. */
const MADE_FOR_GUESTS = /-(cloud-amd64|kvm|virtual)$/;

/** Directories of modules in packages: the second is for distributions where /lib is a link to usr/lib. */
const MODULE_DIRECTORIES = ['lib/modules', 'usr/lib/modules'];

/**
 * The newest kernel below `root` ('/' is the host itself) that meets the requirements, or null: { version, bzImage,
 * modulesDirectory, madeForGuests }.
 */
export function findKernel(root) {
  const boot = join(root, 'boot');
  if (!existsSync(boot)) return null;
  const fitting = readdirSync(boot)
    .filter((name) => name.startsWith('vmlinuz-'))
    .map((name) => name.slice('vmlinuz-'.length))
    .map((version) => ({
      version,
      bzImage: join(boot, `vmlinuz-${version}`),
      modulesDirectory: findModules(root, version),
      config: join(boot, `config-${version}`),
      madeForGuests: MADE_FOR_GUESTS.test(version),
    }))
    .filter(fits)
    .sort(
      (a, b) =>
        Number(b.madeForGuests) - Number(a.madeForGuests) ||
        b.version.localeCompare(a.version, 'en', { numeric: true }),
    );
  if (fitting.length === 0) return null;
  const { config: _, ...kernel } = fitting[0];
  return kernel;
}

/** The directory of a kernel's modules, or null. An unpacked package has no link from lib to usr/lib. */
function findModules(root, version) {
  const candidates = MODULE_DIRECTORIES.map((directory) => join(root, directory, version));
  return candidates.find((directory) => existsSync(join(directory, 'kernel'))) ?? null;
}

function fits({ modulesDirectory, config }) {
  if (modulesDirectory === null || !existsSync(config)) return false;
  const text = readFileSync(config, 'utf8');
  return OPTIONS_NEEDED.every((option) => new RegExp(`^CONFIG_${option}=[ym]$`, 'm').test(text));
}

/** Compression formats of a kernel's payload: the first bytes, and the program that unpacks it. */
const COMPRESSIONS = [
  { magic: [0x1f, 0x8b], unpack: (payload) => gunzipSync(payload) },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], unpack: through('xz', '-dc') },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: through('zstd', '-dc') },
  { magic: [0x02, 0x21, 0x4c, 0x18], unpack: through('lz4', '-dc') },
];

function through(command, ...args) {
  return (payload) => capture(command, args, { input: payload });
}

/**
 * The uncompressed kernel in a bzImage. null if its compression is unknown or if it cannot be started directly; the bzImage
 * itself is bootable then. The header of the boot protocol has the position of the payload
 * (Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset at 0x248, payload_length at 0x24c, protocol 2.08).
 */
export function extractKernel(bzImage) {
  const isBzImage = bzImage.length > 0x250 && bzImage.toString('latin1', 0x202, 0x206) === 'HdrS';
  if (!isBzImage || bzImage.readUInt16LE(0x206) < 0x0208) return null;
  const setupSectors = bzImage[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(0x248);
  // The last four bytes of the payload are the unpacked size, which makes the unpackers fail.
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c) - 4);
  const compression = COMPRESSIONS.find(({ magic }) =>
    magic.every((byte, index) => payload[index] === byte),
  );
  if (compression === undefined) return null;
  const kernel = compression.unpack(payload);
  return hasPvhEntry(kernel) ? kernel : null;
}

const PT_NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY: the entry point of an uncompressed kernel for a hypervisor (PVH). */
const NOTE_PHYS32_ENTRY = 18;

function hasPvhEntry(elf) {
  if (elf.toString('latin1', 0, 5) !== '\x7fELF\x02') return false;
  const tableOffset = Number(elf.readBigUInt64LE(0x20));
  const entryBytes = elf.readUInt16LE(0x36);
  const entryCount = elf.readUInt16LE(0x38);
  for (let index = 0; index < entryCount; index += 1) {
    const header = tableOffset + index * entryBytes;
    if (elf.readUInt32LE(header) !== PT_NOTE) continue;
    const offset = Number(elf.readBigUInt64LE(header + 0x08));
    const bytes = Number(elf.readBigUInt64LE(header + 0x20));
    if (noteTypes(elf.subarray(offset, offset + bytes)).includes(NOTE_PHYS32_ENTRY)) return true;
  }
  return false;
}

/** Types of the notes whose owner is Xen. */
function noteTypes(notes) {
  const types = [];
  const aligned = (bytes) => (bytes + 3) & ~3;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameBytes = notes.readUInt32LE(at);
    const contentBytes = notes.readUInt32LE(at + 4);
    const owner = notes.toString('latin1', at + 12, at + 12 + nameBytes);
    if (owner === 'Xen\0') types.push(notes.readUInt32LE(at + 8));
    at += 12 + aligned(nameBytes) + aligned(contentBytes);
  }
  return types;
}
