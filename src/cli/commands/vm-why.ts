// cli, commands: `vms why`: the operations on a VM, and the result of each step.

import type { Command } from 'commander';
import type { VmOperation } from '../../client/types.ts';
import type { ShellMaker } from '../shell-maker.ts';

const SHOWN = 10;

export function addVmWhy(vms: Command, shells: ShellMaker): void {
  vms
    .command('why')
    .description('show the operations on a VM, with the steps that failed')
    .argument('<vm>', 'name')
    .option('--all', 'include older operations, and every step')
    .action(
      shells.action<{ all?: true }>(async (shell, [name = ''], { all }) => {
        const operations = await shell.client.vms.operations(name);
        const shown = all === true ? operations : operations.slice(0, SHOWN);
        const text = shown.map((operation) => textOf(operation, all === true)).join('\n');
        shell.say(operations, text === '' ? 'There were no operations on it yet.' : text);
      }),
    );
}

function textOf(operation: VmOperation, withAllSteps: boolean): string {
  const { number, kind, started_at: startedAt, outcome, error, steps } = operation;
  const what = `#${number} ${kind} (${causeOf(operation)})`;
  const head = `${startedAt}  ${what}: ${outcome}${error === null ? '' : `: ${error}`}`;
  const shown = steps.filter((step) => withAllSteps || step.error !== null);
  const lines = shown.map(({ step, times, duration_ms: durationMs, error: problem }) => {
    const often = times > 1 ? ` (${times} times)` : '';
    return `    ${step}${often}, ${durationMs} ms${problem === null ? '' : `: ${problem}`}`;
  });
  return [head, ...lines].join('\n');
}

/** The request id is printed for users who log it in their own programs. */
function causeOf({ cause, request_id: requestId }: VmOperation): string {
  if (requestId === undefined) return cause;
  return cause === 'request' ? `request ${requestId}` : `${cause}, request ${requestId}`;
}
