// lib: names that mean this host: localhost and what is below it. No name server is asked about them (RFC 6761, 6.3): one
// that answers could lead elsewhere, and many answer that there is no such name. Pure.

import type { LookupFunction } from 'node:net';

const ADDRESSES = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
] as const;

/** The name, also with a dot at its end, in any case. */
export function isLocalhost(name: string): boolean {
  return /^(?:.+\.)?localhost\.?$/i.test(name);
}

/** Answers with the addresses of loopback, as dns.lookup would; for names that are localhost. */
export const lookupLocalhost: LookupFunction = (_name, options, callback) => {
  const wanted = options.family === 'IPv6' ? 6 : options.family === 'IPv4' ? 4 : options.family;
  const found = ADDRESSES.filter(({ family }) => !wanted || family === wanted);
  const [first] = found;
  // As dns.lookup, without waiting in the caller's turn.
  process.nextTick(() => {
    if (options.all) callback(null, [...found]);
    else callback(null, first?.address ?? '127.0.0.1', first?.family ?? 4);
  });
};
