// cli, commands: `vms operations` and `vms call`: lists the operations in a workload's own OpenAPI document, and calls one.

import { isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import { ApiError, toApiError } from '../../client/errors.ts';
import type { Call } from '../../client/http.ts';
import { collect, parseDurationMs, parsePairs, readBytes } from '../arguments.ts';
import {
  fillPath,
  findOperation,
  operationsOf,
  type WorkloadOperation,
} from '../openapi-operations.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Column } from '../terminal/table.ts';

const COLUMNS: readonly Column<WorkloadOperation>[] = [
  { title: 'OPERATION', of: ({ id }) => id },
  { title: 'METHOD', of: ({ method }) => method },
  { title: 'PATH', of: ({ path }) => path },
  { title: 'SUMMARY', of: ({ summary }) => summary },
];

interface CallFlags {
  readonly param?: readonly string[];
  readonly query?: readonly string[];
  readonly body?: string;
  readonly bodyFile?: string;
  readonly timeout: number;
}

export function addVmOperations(vms: Command, shells: ShellMaker): void {
  vms
    .command('operations')
    .description('list the operations in the OpenAPI document of a workload')
    .argument('<vm>', 'name')
    .action(
      shells.action(async (shell, [name = '']) => {
        const operations = operationsOf(await shell.client.vms.openapi(name));
        shell.printRows(operations, COLUMNS, 'No operations.');
      }),
    );
  vms
    .command('call')
    .description('call an operation of the workload of a VM')
    .argument('<vm>', 'name')
    .argument('<operation>', 'operationId, or METHOD:PATH')
    .option('--param <name=value>', 'parameter of the path; may be repeated', collect)
    .option('--query <name=value>', 'parameter of the query; may be repeated', collect)
    .option('--body <json>', 'body of the request')
    .option('--body-file <file>', 'body of the request; "-" is standard input')
    .option('--timeout <duration>', 'maximum wait for the answer', parseDurationMs, 60_000)
    .action(
      shells.action<CallFlags>(async (shell, [name = '', wanted = ''], flags) => {
        const operation = findOperation(operationsOf(await shell.client.vms.openapi(name)), wanted);
        const body = await bodyOf(shell, flags);
        const path = fillPath(operation.path, parsePairs(flags.param));
        const work = shell.client.agent.request(name, `v1${path}`, {
          method: operation.method as Call['method'],
          query: parsePairs(flags.query),
          timeoutMs: flags.timeout,
          ...(body === undefined ? {} : { body, headers: { 'Content-Type': 'application/json' } }),
        });
        await printAnswer(shell, await shell.progress(`Calling ${wanted}`, work));
      }),
    );
}

async function bodyOf(shell: Shell, { body, bodyFile }: CallFlags) {
  return bodyFile === undefined ? body : readBytes(bodyFile, shell.streams.stdin);
}

/** Prints the body unchanged, byte for byte. An error status fails the command, with the body in the message. */
async function printAnswer(shell: Shell, answer: Response): Promise<void> {
  if (answer.status >= 400) {
    const error = await toApiError(answer);
    const { body } = error;
    if (typeof body === 'string' && body !== '') shell.note(body.trimEnd());
    throw new ApiError(error.status, body, error.retryAfterSeconds, error.requestId);
  }
  const location = answer.headers.get('location') ?? answer.headers.get('x-volant-location');
  if (location !== null)
    shell.note(`The workload answered ${answer.status} and redirects to ${location}`);
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (!isUtf8(bytes)) shell.streams.stdout.write(bytes);
  else if (bytes.length > 0) shell.print(bytes.toString().trimEnd());
}
