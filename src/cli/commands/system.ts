// cli, commands: `volar system` and `volar version`.

import { createWriteStream, existsSync, rmSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { ConnectionError } from '../../client/errors.ts';
import type { SystemStatus } from '../../client/types.ts';
import { VERSION } from '../../lib/version.ts';
import { PrintedFailure, UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';
import type { Facts } from '../terminal/table.ts';

interface DoctorOptions {
  readonly repair?: boolean;
}

export function addSystem(program: Command, shells: ShellMaker): void {
  const system = program.command('system').description('the daemon and its host');
  system
    .command('info')
    .description('show the settings of the daemon and facts about its host')
    .action(shells.action(async (shell) => printFacts(shell, await shell.client.system.info())));
  system
    .command('status')
    .description('show the load of the host')
    .action(
      shells.action(async (shell) => {
        const status = await shell.client.system.status();
        shell.printFacts(status, [
          ['status', status.status],
          ['VMs', status.vm_count],
          ['CPU', `${status.cpu_percent.toFixed(1)} %`],
          ['memory', `${status.mem_percent.toFixed(1)} %`],
          ...budgetFacts(status.budget),
        ]);
      }),
    );
  system
    .command('summary')
    .description('count VMs and plugins')
    .action(shells.action(async (shell) => printFacts(shell, await shell.client.system.summary())));
  program
    .command('doctor')
    .description('compare the host with the records of the daemon')
    .option('--repair', 'repair the differences')
    .action(shells.action<DoctorOptions>((shell, _, { repair = false }) => examine(shell, repair)));
  program
    .command('backup')
    .description('save the records of the daemon; volantd --restore FILE restores them')
    .argument('<file>', 'the file to write; it must not exist')
    .action(shells.action((shell, [file = '']) => saveBackup(shell, file)));
  program
    .command('version')
    .description('print the versions of volar and of the daemon')
    .action(shells.action(printVersions));
}

/** Resources that VMs use and may use together. A daemon of an earlier version does not report them. */
function budgetFacts(budget: SystemStatus['budget'] | undefined): Facts {
  if (budget === undefined) return [];
  const of = (limit: number | null) => (limit === null ? '' : ` of ${limit}`);
  return [
    ['memory of VMs', `${budget.memory_used_mb}${of(budget.memory_limit_mb)} MiB`],
    ['vCPUs of VMs', `${budget.vcpus_used}${of(budget.vcpus_limit)}`],
  ];
}

const ONE: Readonly<Record<string, string>> = {
  vms: 'VM',
  processes: 'process',
  taps: 'tap',
  cgroups: 'cgroup',
  run_directories: 'run directory',
  differences: 'difference',
};

/** A count of the audit, such as "1 run directory" and "2 VMs". What a newer daemon counts is shown as it is named. */
function countText(what: string, count: number): string {
  if (count === 1) return `1 ${ONE[what] ?? what}`;
  return `${count} ${what === 'vms' ? 'VMs' : what.replaceAll('_', ' ')}`;
}

/** Differences that remain determine the exit status. */
async function examine(shell: Shell, repair: boolean): Promise<void> {
  const report = await shell.client.system.audit({ repair });
  const { differences, repaired, in_progress: inProgress } = report;
  const details = [
    ...(repaired > 0 ? [`${repaired} repaired`] : []),
    ...(inProgress.length > 0 ? [`${inProgress.length} VMs in progress`] : []),
  ];
  const checked = Object.entries(report.checked).map(([what, count]) => countText(what, count));
  const lines = differences.map(({ kind, subject, vm, remedy }) =>
    [kind, subject, vm === null ? 'no VM' : `VM ${vm}`, remedy ?? 'volar doctor --repair'].join(
      '  ',
    ),
  );
  const summary = report.clean
    ? `The host matches the records (${checked.join(', ')}).`
    : `${countText('differences', differences.length)}:\n${lines.join('\n')}`;
  shell.say(report, [summary, ...details].join('\n'));
  if (!report.clean) throw new PrintedFailure('The host differs from the records');
}

/** The file is complete when it has its final name. */
async function saveBackup(shell: Shell, file: string): Promise<void> {
  if (existsSync(file)) throw new UsageError(`${file} exists already`);
  const part = `${file}.part`;
  const { sizeBytes, stream } = await shell.client.system.backup();
  try {
    const target = createWriteStream(part, { mode: 0o600, flush: true });
    const clean = () => rmSync(part, { force: true });
    await shell.progress(`saving ${file}`, pipeline(stream, target), { clean });
    if (target.bytesWritten !== sizeBytes) {
      throw new ConnectionError(
        `the backup ended after ${target.bytesWritten} of ${sizeBytes} bytes`,
      );
    }
    await rename(part, file);
  } finally {
    await rm(part, { force: true });
  }
  shell.say({ file, size_bytes: sizeBytes }, `${file} contains the records, ${sizeBytes} bytes`);
}

/** If the daemon cannot be reached, its version is printed as unknown; this is not a failure. */
async function printVersions(shell: Shell): Promise<void> {
  let daemon: string | null = null;
  let why = '';
  try {
    daemon = (await shell.client.system.info()).version;
  } catch (error) {
    why = error instanceof Error ? ` (${error.message})` : '';
  }
  shell.say({ volar: VERSION, daemon }, `volar ${VERSION}\nvolantd ${daemon ?? `unknown${why}`}`);
}

/** Prints one fact on each line; nested members have the names of both levels. */
function printFacts(shell: Shell, facts: object): void {
  shell.printFacts(facts, factsIn(facts, ''));
}

function factsIn(value: object, prefix: string): Facts {
  return Object.entries(value).flatMap(([key, member]): Facts => {
    const name = `${prefix}${key.replaceAll('_', ' ')}`;
    if (typeof member !== 'object' || member === null) return [[name, member ?? '-']];
    if (!Array.isArray(member)) return factsIn(member, `${name} `);
    if (member.length === 0) return [[name, '-']];
    if (member.every((item) => typeof item !== 'object')) return [[name, member.join(', ')]];
    return member.flatMap((item, index) => factsIn(Object(item), `${name} ${index + 1} `));
  });
}
