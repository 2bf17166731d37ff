// lib: SHA-256 digests as users write them.

/** 64 lower-case hexadecimal digits: all ways to write a checksum are one. */
export function digestIn(checksum: string): string {
  return checksum
    .trim()
    .replace(/^sha256:/, '')
    .toLowerCase();
}
