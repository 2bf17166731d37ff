// cli, commands: `run`: a program of a container image in a VM of its own. The work is in run/, which is loaded when it runs.

import { randomInt } from 'node:crypto';
import { type Command, Option } from 'commander';
import {
  collect,
  parseCount,
  parseDurationMs,
  parseMemoryMb,
  parsePairs,
  parseSeconds,
} from '../arguments.ts';
import { parseVolume, type RunOrder, requireLasting } from '../run/run-request.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { addEgressOptions, type EgressFlags, egressOf, toExpose } from './create-config.ts';

interface RunFlags extends EgressFlags {
  readonly interactive?: true;
  readonly tty?: true;
  readonly detach?: true;
  readonly keep?: true;
  readonly name?: string;
  readonly entrypoint?: string;
  readonly env?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly volume?: readonly string[];
  readonly publish?: readonly string[];
  readonly cpus?: number;
  readonly memory?: number;
  readonly network?: string;
  readonly label?: readonly string[];
  readonly timeout?: number;
  readonly deadline?: number;
}

const NAME_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const NAME_LENGTH = 6;

const HELP = `
Options end at IMAGE: what follows is the program and its arguments. They
replace the command of the image and leave its entrypoint; --entrypoint
replaces both. -v makes a copy before the program starts: what the program
writes there stays in the guest. The VM is deleted when the program ends.
The first Ctrl-C is sent to the program, a second one deletes the VM.`;

export function addRun(program: Command, shells: ShellMaker): void {
  const run = program
    .command('run')
    .description('run a container image in a VM of its own, and delete the VM at the end')
    .argument('<image>', 'a name such as alpine:3 or oci-archive:/path')
    .argument('[words...]', 'the program and its arguments')
    .option('-i, --interactive', 'standard input goes to the program')
    .option('-t, --tty', 'it gets a terminal of the size of this one; implies -i')
    .option('-e, --env <name=value>', 'set a variable; may be repeated', collect)
    .option('-w, --workdir <path>', "working directory; the image's by default")
    .option('-u, --user <user[:group]>', "name or number; the image's by default")
    .option(
      '-v, --volume <file:path>',
      'copy a file or directory of this machine to PATH first; may be repeated',
      collect,
    )
    .option('-p, --publish <ports>', 'HOST:GUEST or HOST:GUEST/udp; may be repeated', collect)
    .option('--entrypoint <program>', 'replaces entrypoint and command of the image')
    .option('--name <name>', 'name of the VM; one is made by default')
    .option('--cpus <count>', 'vCPUs; 1 by default', parseCount)
    .option('-m, --memory <MiB>', 'memory, such as 512 or 2G; 512 by default', parseMemoryMb)
    .option('--network <mode>', 'bridged, vsock or dhcp');
  addEgressOptions(run)
    .option('--label <name=value>', 'label of the manifest; may be repeated', collect)
    .addOption(
      new Option('--timeout <duration>', 'end the program after this time')
        .argParser(parseDurationMs)
        .conflicts('detach'),
    )
    .option(
      '--deadline <duration>',
      'delete the VM after this time, also without this program',
      parseSeconds,
    )
    .addOption(
      new Option(
        '-d, --detach',
        'make it the workload of a VM that stays, and print the name',
      ).conflicts(['interactive', 'tty']),
    )
    .addOption(
      new Option('--rm', 'delete the VM at the end, which is the default').conflicts([
        'keep',
        'detach',
      ]),
    )
    .option('--keep', 'keep the VM, and say its name')
    .addHelpText('after', HELP)
    .action(
      shells.socketAction<RunFlags>(async (shell, [image = '', ...words], flags) => {
        const order = orderOf(image, words, flags);
        if (flags.detach === true) requireLasting(order.volumes);
        const { RunSession } = await import('../run/run-session.ts');
        const session = new RunSession(shell, order);
        if (flags.detach === true) return session.detached();
        return session.attached(flags, flags.keep === true);
      }),
    );
}

function orderOf(image: string, words: readonly string[], flags: RunFlags): RunOrder {
  const { publish, network, env, label } = flags;
  const egress = egressOf(undefined, flags);
  const hasNetwork = network !== undefined || egress !== undefined;
  return {
    name: flags.name ?? newName(),
    image,
    words,
    entrypoint: flags.entrypoint,
    env: env && parsePairs(env),
    workdir: flags.workdir,
    user: flags.user,
    labels: label && parsePairs(label),
    cpus: flags.cpus,
    memoryMb: flags.memory,
    timeoutMs: flags.timeout,
    deadlineSeconds: flags.deadline,
    volumes: (flags.volume ?? []).map(parseVolume),
    config: {
      ...(publish === undefined ? {} : { expose: publish.map(toExpose) }),
      ...(hasNetwork
        ? {
            network: {
              ...(network === undefined ? {} : { mode: network }),
              ...(egress === undefined ? {} : { egress }),
            },
          }
        : {}),
    },
  };
}

function newName(): string {
  const characters = Array.from(
    { length: NAME_LENGTH },
    () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)],
  );
  return `run-${characters.join('')}`;
}
