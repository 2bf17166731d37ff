// workers, job: nftables, by its own program: one transaction for each call.

import { execFileSync } from 'node:child_process';
import { errnoOf, JobFault } from './fault.ts';

const TIMEOUT_MS = 10_000;

/** Tables of a daemon carry its tag, so that two daemons on one host do not meet. */
export function tableOf(hostTag: string): string {
  return `volant_${hostTag}`;
}

/** `what` is the subject of the sentence that a client reads when it fails. */
export function nft(rules: string, what: string): void {
  try {
    execFileSync('nft', ['-f', '-'], {
      input: rules,
      timeout: TIMEOUT_MS,
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    });
  } catch (error) {
    const remedy = errnoOf(error) === 'ENOENT' ? 'install the package nftables' : 'see the log';
    throw new JobFault('HOST_OPERATION_FAILED', `${what} cannot be set up: ${remedy}`, error);
  }
}
