// cli: how a command ends: the exit status, and the message about a failure with its remedy.

import { CommanderError } from 'commander';
import { ApiError, ConnectionError, RequestTimeoutError } from '../client/errors.ts';

/** Exit statuses; docs/volar.md promises them. */
export const EXIT = {
  ok: 0,
  /** The daemon refused or failed. */
  failed: 1,
  usage: 2,
  notFound: 3,
  /** The current state does not allow it: a name in use, a status, another version. */
  conflict: 4,
  unreachable: 5,
  timeout: 6,
  /** By Ctrl-C; as shells count it. */
  interrupted: 130,
} as const;

/** The command line is invalid. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A program in a guest has ended with this status, which becomes that of volar. */
export class ProgramStatus extends Error {
  override readonly name = 'ProgramStatus';
  readonly status: number;

  constructor(status: number) {
    super(`the program ended with status ${status}`);
    this.status = status;
  }
}

/** The printed result is the failure itself. */
export class PrintedFailure extends Error {
  override readonly name = 'PrintedFailure';
}

/** Several failures, each of which was printed when it happened. */
export class ManyFailures extends Error {
  override readonly name = 'ManyFailures';
  readonly exit: number;

  constructor(count: number, exit: number) {
    super(`${count} failed`);
    this.exit = exit;
  }
}

/** `volar diff` could not compare; its exit status 1 means that there are differences. */
export class DiffFailure extends Error {
  override readonly name = 'DiffFailure';

  constructor(cause: unknown) {
    super('The documents cannot be compared', { cause });
  }
}

/** Documents are wrong, found before anything was changed. */
export class DocumentsError extends Error {
  override readonly name = 'DocumentsError';
  /** What is wrong, by file, line, document and member. */
  readonly details: Readonly<Record<string, string>>;
  readonly exit: number;

  constructor(message: string, details: Readonly<Record<string, string>>, exit: number) {
    super(message);
    this.details = details;
    this.exit = exit;
  }
}

/** The current state does not allow it, found before the request was sent. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** An answer of the daemon shows that the object does not exist. */
export class NotFoundError extends Error {
  override readonly name = 'NotFoundError';
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

export interface Failure {
  readonly exit: number;
  /** true: the message was printed already. */
  readonly silent?: true;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string>>;
  /** What to do about it, as a sentence. */
  readonly remedy?: string;
  /** Id to find the error in the daemon's log; only for faults of the daemon. */
  readonly requestId?: string;
}

const REMEDIES: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'Set VOLANT_API_KEY to the key of the daemon.',
  SCOPE_FORBIDDEN: 'Set VOLANT_API_KEY to a key with that scope; docs/keys.md has the table.',
  ADDRESS_FORBIDDEN: 'Add this address to VOLANT_API_ALLOW_CIDR of the daemon.',
  VM_NOT_FOUND: '`volar vms list` shows the VMs.',
  PLUGIN_NOT_FOUND: '`volar plugins list` lists the installed plugins.',
  DEPLOYMENT_NOT_FOUND: '`volar deployments list` shows the deployments.',
  REVISION_NOT_FOUND: '`volar deployments rollout history` shows the stored ones.',
  EXEC_NOT_FOUND: '`volar execs list VM` shows those that the guest still keeps.',
  RESULT_NOT_FOUND: 'A guest can post one where its config has `metadata_service`.',
  VM_NAME_TAKEN: 'Use another name, or change the VM with `volar apply`.',
  GROUP_NOT_VIABLE: '`volar devices groups` shows the complete groups.',
  DEPLOYMENT_NAME_TAKEN: 'Use another name, or change the deployment with `volar apply`.',
  PLUGIN_DISABLED: '`volar plugins enable` makes it usable again.',
  VERSION_MISMATCH: '`volar vms config get` shows the newest version; change that one.',
  WAIT_TIMEOUT: '`volar vms get NAME --watch` shows the progress.',
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
  if (error instanceof DiffFailure) {
    return { ...toFailure(error.cause, baseUrl), exit: EXIT.usage };
  }
  const message = error instanceof Error ? error.message : String(error);
  const plain = { message, details: {} };
  if (error instanceof RequestTimeoutError) {
    return { exit: EXIT.timeout, code: 'NO_ANSWER', ...plain };
  }
  if (error instanceof PrintedFailure) {
    return { exit: EXIT.failed, silent: true, code: 'FAILED', ...plain };
  }
  if (error instanceof ProgramStatus) {
    return { exit: error.status, silent: true, code: 'PROGRAM', ...plain };
  }
  if (error instanceof ManyFailures) {
    return { exit: error.exit, silent: true, code: 'FAILED', ...plain };
  }
  if (error instanceof DocumentsError) {
    const { details, exit } = error;
    return { exit, code: 'DOCUMENTS_INVALID', message, details };
  }
  if (error instanceof ConflictError) {
    return { exit: EXIT.conflict, code: 'CONFLICT', ...plain, remedy: error.remedy };
  }
  if (error instanceof NotFoundError) {
    return { exit: EXIT.notFound, code: 'NOT_FOUND', ...plain, remedy: error.remedy };
  }
  if (error instanceof UsageError) return { exit: EXIT.usage, code: 'USAGE', ...plain };
  if (error instanceof CommanderError) {
    // Commander has printed the error already; requested help is not a failure.
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
  if (code === 'EXEC_NOT_STARTED') {
    // As a shell counts it: 127 for a program that does not exist, 126 for one that cannot be executed.
    return { exit: Number(details['exit_code'] ?? EXIT.failed), ...failure, details: {} };
  }
  if (status === 404) return { exit: EXIT.notFound, ...failure };
  if (status === 409 || status === 412) return { exit: EXIT.conflict, ...failure };
  if (status === 408 || status === 504) return { exit: EXIT.timeout, ...failure };
  return { exit: EXIT.failed, ...failure };
}

function fromConnection(error: ConnectionError, baseUrl: string): Failure {
  const failure = { exit: EXIT.unreachable, code: error.code ?? 'CONNECTION', details: {} };
  // Only these codes prove that no daemon listens; with others a connection existed and broke.
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

/** The failure as it is printed on standard error. */
export function renderFailure(
  { code, message, details, remedy, requestId }: Failure,
  json: boolean,
): string {
  if (json) {
    const body = { error: message, code, details, remedy, request_id: requestId };
    return `${JSON.stringify(body)}\n`;
  }
  const problems = Object.entries(details);
  // A single problem is in the message already.
  const isShown = problems.length === 1 && message.includes(problems[0]?.[1] ?? '');
  const lines = [
    `volar: ${message}`,
    ...(isShown ? [] : problems).map(([name, what]) => `  ${name}: ${what}`),
    ...(remedy === undefined ? [] : [remedy]),
    ...(requestId === undefined ? [] : [`Request id, for the daemon's log: ${requestId}`]),
  ];
  return `${lines.join('\n')}\n`;
}
