// jobs, network: writes tables of nftables by its program, one transaction for each call. Tables are read by
// nft-tables.ts.

import { runProgram } from '../run-program.ts';

/**
 * Returns the name of this daemon's tables. It contains the host tag, so that two daemons on one host do not collide.
 */
export function tableOf(hostTag: string): string {
  return `volant_${hostTag}`;
}

/** Applies rules in one transaction. `what` is the subject of the error message. Throws HOST_OPERATION_FAILED. */
export function nft(rules: string, what: string, timeoutMs?: number): void {
  const words = { what: `${what} cannot be set up`, packageName: 'nftables' };
  const bound = timeoutMs === undefined ? {} : { timeoutMs };
  runProgram('nft', ['-f', '-'], words, { input: rules, ...bound });
}
