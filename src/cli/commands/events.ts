// cli, commands: `volar events`.

import type { Command } from 'commander';
import type { VolantEvent } from '../../client/types.ts';
import { collect, parseCount } from '../arguments.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';

/** Stored events arrive at once; after this much silence there are no more. */
const QUIET_MS = 1000;

interface EventFlags {
  readonly follow?: true;
  readonly after?: number;
  readonly name?: readonly string[];
  readonly type?: readonly string[];
  readonly deployment?: readonly string[];
}

export function addEvents(program: Command, shells: ShellMaker): void {
  program
    .command('events')
    .description('print stored events; with -f, new events as well')
    .option('-f, --follow', 'continue with new events; without --after, only new events')
    .option('--after <number>', 'start after the event with this number', parseCount)
    .option('--name <vm>', 'only events of this VM; may be repeated', collect)
    .option('--type <type>', 'only events of this type; may be repeated', collect)
    .option('--deployment <name>', 'only events of this deployment; may be repeated', collect)
    .action(shells.action<EventFlags>(printEvents));
}

async function printEvents(
  shell: Shell,
  _args: readonly string[],
  { follow, ...filter }: EventFlags,
): Promise<void> {
  const controller = new AbortController();
  let quiet: NodeJS.Timeout | undefined;
  const heard = () => {
    clearTimeout(quiet);
    if (follow !== true) quiet = setTimeout(() => controller.abort(), QUIET_MS);
  };
  const events = shell.client.events.all({
    ...(follow ? {} : { after: 0 }),
    ...filter,
    signal: controller.signal,
    onState: (state) => {
      if (state.state === 'open') heard();
      else if (follow) shell.note(`The connection was lost; retrying: ${state.error.message}`);
    },
  });
  try {
    for await (const event of events) {
      heard();
      shell.print(shell.json ? JSON.stringify(event) : sentenceOf(event));
    }
  } finally {
    clearTimeout(quiet);
  }
}

function sentenceOf({ id, timestamp, type, name, ip_address, pid, message }: VolantEvent): string {
  const facts = [
    ip_address ? `address ${ip_address}` : '',
    pid === undefined ? '' : `pid ${pid}`,
    message ?? '',
  ];
  const rest = facts.filter((fact) => fact !== '').join(', ');
  const number = String(id ?? '-').padStart(6);
  return `${number}  ${timestamp}  ${type.padEnd(11)}  ${name}  ${rest}`.trimEnd();
}
