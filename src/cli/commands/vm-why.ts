// cli, commands: `vms why`: what was done for a VM, and how each step of it went.

import type { Command } from 'commander';
import type { VmOperation } from '../../client/types.ts';
import type { ShellMaker } from '../shell.ts';

const SHOWN = 10;

export function addVmWhy(vms: Command, shells: ShellMaker): void {
  vms
    .command('why')
    .description('show what was done for a VM, with the steps that went wrong')
    .argument('<vm>', 'name')
    .option('--all', 'also operations that are long past, and every step')
    .action(
      shells.action<{ all?: true }>(async (shell, [name = ''], { all }) => {
        const operations = await shell.client.vms.operations(name);
        const shown = all === true ? operations : operations.slice(0, SHOWN);
        const text = shown.map((operation) => textOf(operation, all === true)).join('\n');
        shell.say(operations, text === '' ? 'Nothing was done for it yet.' : text);
      }),
    );
}

function textOf(operation: VmOperation, withAllSteps: boolean): string {
  const { number, kind, started_at: startedAt, outcome, error, steps } = operation;
  const what = `#${number} ${kind} (${causeOf(operation)})`;
  const head = `${startedAt}  ${what}: ${outcome}${error === null ? '' : `: ${error}`}`;
  const told = steps.filter((step) => withAllSteps || step.error !== null);
  const lines = told.map(({ step, times, duration_ms: durationMs, error: problem }) => {
    const often = times > 1 ? ` (${times} times)` : '';
    return `    ${step}${often}, ${durationMs} ms${problem === null ? '' : `: ${problem}`}`;
  });
  return [head, ...lines].join('\n');
}

/** Whoever reads this may look for the id in a log of its own. */
function causeOf({ cause, request_id: requestId }: VmOperation): string {
  if (requestId === undefined) return cause;
  return cause === 'request' ? `request ${requestId}` : `${cause}, request ${requestId}`;
}
