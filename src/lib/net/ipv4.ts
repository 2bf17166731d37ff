// lib, net: IPv4 addresses and networks as numbers. Pure. Allocation of addresses is in the engine.

/** A block of addresses, such as 192.168.127.0/24. */
export interface Ipv4Network {
  /** First address of the block, as an unsigned 32-bit number. */
  readonly base: number;
  readonly prefixLength: number;
}

const DOT = 0x2e;
const ZERO = 0x30;

/** Returns the number of a dotted quad; null for any other text. Leading zeros are refused. */
export function parseIpv4(text: string): number | null {
  // Hand-written for speed: the network check parses the address of every VM.
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (octet < 0) return null;
      value = value * 256 + octet;
      octet = -1;
      dots += 1;
    } else {
      if (code < ZERO || code > ZERO + 9 || octet === 0) return null;
      octet = Math.max(octet, 0) * 10 + code - ZERO;
      if (octet > 255) return null;
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : null;
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** Returns the network of a CIDR text, or null. Host bits are cleared: 10.0.0.7/8 is 10.0.0.0/8. */
export function parseCidr(text: string): Ipv4Network | null {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  const address = parseIpv4(match?.[1] ?? '');
  const prefixLength = Number(match?.[2]);
  if (address === null || !(prefixLength <= 32)) return null;
  return { base: (address & maskOf(prefixLength)) >>> 0, prefixLength };
}

/** The netmask of a prefix length, as an unsigned 32-bit number. */
export function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
}

export function contains(network: Ipv4Network, address: number): boolean {
  return (address & maskOf(network.prefixLength)) >>> 0 === network.base;
}

/** How many addresses the block has, network and broadcast included. */
export function sizeOf(network: Ipv4Network): number {
  return 2 ** (32 - network.prefixLength);
}
