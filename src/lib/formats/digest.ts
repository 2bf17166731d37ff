// lib, formats: SHA-256 digests. Pure.

/** Normalises a checksum to 64 lower-case hexadecimal digits without a prefix. */
export function digestIn(checksum: string): string {
  return checksum
    .trim()
    .replace(/^sha256:/, '')
    .toLowerCase();
}
