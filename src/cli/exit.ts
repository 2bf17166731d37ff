// cli: how a command ends: the exit status, and what is said about a failure and its remedy.

import { CommanderError } from 'commander';
import { ApiError, ConnectionError, RequestTimeoutError } from '../client/errors.ts';

/** Exit statuses; docs/volar.md promises them. */
export const EXIT = {
  ok: 0,
  /** Refused by the daemon, or failed. */
  failed: 1,
  usage: 2,
  notFound: 3,
  /** What is there does not allow it: a name that is taken, a status, another version. */
  conflict: 4,
  unreachable: 5,
  timeout: 6,
} as const;

/** What was typed cannot be meant. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The result, which was printed, is the failure. */
export class ToldFailure extends Error {
  override readonly name = 'ToldFailure';
}

/** Each was told when it happened. */
export class ManyFailures extends Error {
  override readonly name = 'ManyFailures';
  readonly exit: number;

  constructor(count: number, exit: number) {
    super(`${count} failed`);
    this.exit = exit;
  }
}

/** What is there does not allow it, seen before the daemon was asked. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

export interface Failure {
  readonly exit: number;
  /** Already told by who failed. */
  readonly silent?: true;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
  /** What to do about it, as a sentence. */
  readonly remedy?: string;
  /** Under which the daemon's log says more; of what is the daemon's own trouble. */
  readonly requestId?: string;
}

const REMEDIES: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'Set VOLANT_API_KEY to the key of the daemon.',
  SCOPE_FORBIDDEN: 'Set VOLANT_API_KEY to a key with that scope; docs/keys.md has the table.',
  ADDRESS_FORBIDDEN: 'Add this address to VOLANT_API_ALLOW_CIDR of the daemon.',
  VM_NOT_FOUND: '`volar vms list` shows the VMs.',
  PLUGIN_NOT_FOUND: '`volar plugins list` shows what is installed.',
  DEPLOYMENT_NOT_FOUND: '`volar deployments list` shows the deployments.',
  VM_NAME_TAKEN: 'Take another name, or change the VM with `volar apply`.',
  GROUP_NOT_VIABLE: '`volar devices groups` shows what belongs together.',
  DEPLOYMENT_NAME_TAKEN: 'Take another name, or change the deployment with `volar apply`.',
  PLUGIN_DISABLED: '`volar plugins enable` makes it usable again.',
  VERSION_MISMATCH: '`volar vms config get` shows the newest version; change that one.',
  WAIT_TIMEOUT: '`volar vms get NAME --watch` shows how it goes on.',
  KERNEL_MISSING:
    '`npm run setup` (`volantd setup` of an installed package) installs a guest kernel.',
  HYPERVISOR_MISSING:
    '`npm run setup` (`volantd setup` of an installed package) installs a hypervisor.',
  STORE_UNAVAILABLE: 'See the log of the daemon; a full disk is the usual cause.',
  OVERLOADED: 'Try again in a moment.',
};

export function toFailure(error: unknown, baseUrl: string): Failure {
  if (error instanceof ApiError) return fromApi(error);
  if (error instanceof ConnectionError) return fromConnection(error, baseUrl);
  const message = error instanceof Error ? error.message : String(error);
  const plain = { message, details: {} };
  if (error instanceof RequestTimeoutError) {
    return { exit: EXIT.timeout, code: 'NO_ANSWER', ...plain };
  }
  if (error instanceof ToldFailure) {
    return { exit: EXIT.failed, silent: true, code: 'FAILED', ...plain };
  }
  if (error instanceof ManyFailures) {
    return { exit: error.exit, silent: true, code: 'FAILED', ...plain };
  }
  if (error instanceof ConflictError) {
    return { exit: EXIT.conflict, code: 'CONFLICT', ...plain, remedy: error.remedy };
  }
  if (error instanceof UsageError) return { exit: EXIT.usage, code: 'USAGE', ...plain };
  if (error instanceof CommanderError) {
    // Commander has printed it by now; help that was asked for is no failure.
    const exit = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return { exit, silent: true, code: 'USAGE', ...plain };
  }
  return { exit: EXIT.failed, code: 'FAILED', ...plain };
}

function fromApi({ status, code, message, details, requestId }: ApiError): Failure {
  const remedy = REMEDIES[code];
  const failure = {
    code,
    message,
    details,
    ...(remedy === undefined ? {} : { remedy }),
    ...(requestId === undefined || status < 500 ? {} : { requestId }),
  };
  if (status === 404) return { exit: EXIT.notFound, ...failure };
  if (status === 409 || status === 412) return { exit: EXIT.conflict, ...failure };
  if (status === 408 || status === 504) return { exit: EXIT.timeout, ...failure };
  return { exit: EXIT.failed, ...failure };
}

function fromConnection(error: ConnectionError, baseUrl: string): Failure {
  const failure = { exit: EXIT.unreachable, code: error.code ?? 'CONNECTION', details: {} };
  // Only then is it sure that nobody listens; otherwise a connection was there and broke.
  if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') {
    return {
      ...failure,
      message: `No daemon answers at ${baseUrl}`,
      remedy:
        'Start one with `npm run up` or `volantd up`, or name another with --api or VOLANT_API_BASE.',
    };
  }
  return { ...failure, message: error.message };
}

/** As it is printed on standard error. */
export function renderFailure(
  { code, message, details, remedy, requestId }: Failure,
  json: boolean,
): string {
  if (json) {
    const told = { error: message, code, details, remedy, request_id: requestId };
    return `${JSON.stringify(told)}\n`;
  }
  const problems = Object.entries(details);
  // One alone is in the sentence already.
  const isTold = problems.length === 1 && message.includes(problems[0]?.[1] ?? '');
  const lines = [
    `volar: ${message}`,
    ...(isTold ? [] : problems).map(([name, what]) => `  ${name}: ${what}`),
    ...(remedy === undefined ? [] : [remedy]),
    ...(requestId === undefined ? [] : [`Request id, for the daemon's log: ${requestId}`]),
  ];
  return `${lines.join('\n')}\n`;
}
