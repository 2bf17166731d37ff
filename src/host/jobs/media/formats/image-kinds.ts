// jobs, media: recognises files that are not usable as disks by their first and last bytes, and says how to convert
// them. Pure. qcow2 is in qcow2.ts, file systems are in file-systems.ts.

/** Number of bytes at the start of a file that are examined. */
export const HEAD_BYTES = 68 * 1024;
/** Number of bytes at the end of a file that are examined: some formats have their mark in a trailer. */
export const TAIL_BYTES = 512;

interface Mark {
  /** With its article, as part of a sentence. */
  readonly name: string;
  readonly at: number;
  /** One character for each byte. */
  readonly bytes: string;
  readonly remedy: string;
}

const convert = (from: string) => `convert it with qemu-img convert -f ${from} -O qcow2`;
const unpack = (command: string) => `unpack it with ${command}`;
const EXTRACT = 'take the image out of it';
const AS_INITRAMFS = 'name it as initramfs.url';

/** Marks at the beginning of a file. */
const HEAD_MARKS: readonly Mark[] = [
  { name: 'a VMDK image', at: 0, bytes: 'KDMV', remedy: convert('vmdk') },
  { name: 'a VMDK image', at: 0, bytes: 'COWD', remedy: convert('vmdk') },
  { name: 'a VMDK descriptor', at: 0, bytes: '# Disk Descriptor', remedy: convert('vmdk') },
  { name: 'a VDI image', at: 64, bytes: '\x7f\x10\xda\xbe', remedy: convert('vdi') },
  { name: 'a VHDX image', at: 0, bytes: 'vhdxfile', remedy: convert('vhdx') },
  { name: 'a VHD image', at: 0, bytes: 'conectix', remedy: convert('vpc') },
  { name: 'a QED image', at: 0, bytes: 'QED\0', remedy: convert('qed') },
  { name: 'a Parallels image', at: 0, bytes: 'WithoutFreeSpace', remedy: convert('parallels') },
  { name: 'a Parallels image', at: 0, bytes: 'WithouFreSpacExt', remedy: convert('parallels') },
  { name: 'an Android sparse image', at: 0, bytes: ':\xff&\xed', remedy: unpack('simg2img') },
  { name: 'compressed with gzip', at: 0, bytes: '\x1f\x8b\x08', remedy: unpack('gunzip') },
  { name: 'compressed with xz', at: 0, bytes: '\xfd7zXZ\0', remedy: unpack('xz -d') },
  { name: 'compressed with zstd', at: 0, bytes: '(\xb5/\xfd', remedy: unpack('zstd -d') },
  { name: 'compressed with lz4', at: 0, bytes: '\x04"M\x18', remedy: unpack('lz4 -d') },
  { name: 'compressed with lz4', at: 0, bytes: '\x02!L\x18', remedy: unpack('lz4 -d') },
  { name: 'compressed with lzip', at: 0, bytes: 'LZIP', remedy: unpack('lzip -d') },
  { name: 'compressed with lzop', at: 0, bytes: '\x89LZO\0\r\n\x1a\n', remedy: unpack('lzop -d') },
  { name: 'a ZIP archive', at: 0, bytes: 'PK\x03\x04', remedy: EXTRACT },
  { name: 'a 7z archive', at: 0, bytes: "7z\xbc\xaf'\x1c", remedy: EXTRACT },
  { name: 'a RAR archive', at: 0, bytes: 'Rar!\x1a\x07', remedy: EXTRACT },
  { name: 'a tar archive', at: 257, bytes: 'ustar', remedy: EXTRACT },
  { name: 'a cpio archive', at: 0, bytes: '070701', remedy: AS_INITRAMFS },
  { name: 'a cpio archive', at: 0, bytes: '070702', remedy: AS_INITRAMFS },
];

/** Marks at the start of the last 512 bytes. A VHD of fixed size and a DMG begin with the disk itself. */
const TAIL_MARKS: readonly Mark[] = [
  { name: 'a VHD image', at: 0, bytes: 'conectix', remedy: convert('vpc') },
  { name: 'a DMG image', at: 0, bytes: 'koly', remedy: convert('dmg') },
];

/** Images that a guest can use as a further disk, but that no system can boot from. */
const NOT_BOOTABLE: readonly Mark[] = [
  {
    name: 'an ISO 9660 image',
    at: 0x8001,
    bytes: 'CD001',
    remedy: 'install from it to a disk, or name it as one of the disks',
  },
  {
    name: 'encrypted with LUKS',
    at: 0,
    bytes: 'LUKS\xba\xbe',
    remedy: 'copy the disk that cryptsetup open shows to an image',
  },
];

/** Returns why a file cannot be used as a disk, as the end of a sentence; null when no known kind matches. */
export function unusableKind(head: Buffer, tail: Buffer, isRoot: boolean): string | null {
  const text = textKind(head);
  if (text !== null) return text;
  const isBzip2 = /^BZh[1-9]1AY&SY/.test(head.toString('latin1', 0, 10));
  if (isBzip2) return `is compressed with bzip2: ${unpack('bunzip2')}`;
  const marks = isRoot ? [...HEAD_MARKS, ...NOT_BOOTABLE] : HEAD_MARKS;
  const found =
    marks.find((mark) => hasMark(head, mark)) ?? TAIL_MARKS.find((mark) => hasMark(tail, mark));
  return found === undefined ? null : `is ${found.name}: ${found.remedy}`;
}

/** Recognises text that servers and repositories deliver instead of an image. */
function textKind(head: Buffer): string | null {
  const text = head.toString('latin1', 0, 64).trimStart().toLowerCase();
  if (text.startsWith('<!doctype html') || text.startsWith('<html')) {
    return 'is a web page: name the address of the file itself';
  }
  if (text.startsWith('version https://git-lfs')) {
    return 'is a pointer of Git LFS: get the file with git lfs pull';
  }
  return null;
}

function hasMark(data: Buffer, { at, bytes }: Mark): boolean {
  return data.toString('latin1', at, at + bytes.length) === bytes;
}
