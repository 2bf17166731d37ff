// cli, commands: `volar apply`.

import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { ManifestInput, WaitOptions } from '../../client/types.ts';
import { type Applied, applyDocument, type Document, toDocuments } from '../apply.ts';
import { parseData, parseDurationMs, readText } from '../arguments.ts';
import { completeManifest } from '../manifest-file.ts';
import type { Shell, ShellMaker } from '../shell.ts';
import { followRollout } from './deployment-rollout.ts';

const WAIT_MS = 5 * 60_000;

interface ApplyFlags {
  readonly file: string;
  readonly dryRun?: true;
  readonly wait?: true;
  readonly timeout: number;
}

export function addApply(program: Command, shells: ShellMaker): void {
  program
    .command('apply')
    .description('make VMs, deployments and plugins as a file describes them')
    .requiredOption(
      '-f, --file <file>',
      'one document or a list, as JSON or YAML; "-" is standard input',
    )
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--wait', 'wait until VMs that are made and deployments are ready')
    .option('--timeout <duration>', 'wait no longer for each', parseDurationMs, WAIT_MS)
    .action(
      shells.action<ApplyFlags>(async (shell, _args, { file, dryRun = false, wait, timeout }) => {
        const content = await parseData(await readText(file, shell.streams.stdin), file);
        // All are read before the first is done, so that a slip in the last one changes nothing.
        const documents = toDocuments(content, file);
        const directory = file === '-' ? process.cwd() : dirname(resolve(file));
        for (const document of documents) {
          const complete = await completeDocument(shell, document, directory);
          const options: WaitOptions = wait ? { wait: 'ready', waitTimeoutMs: timeout } : {};
          const work = applyDocument(shell.client, complete, { dryRun, options });
          const { name } = document;
          const applied = await shell.progressOf(name, `Applying ${name}`, work);
          sayApplied(shell, applied, dryRun);
          if (wait && !dryRun && document.kind === 'Deployment') {
            await followRollout(shell, name, performance.now() + timeout);
          }
        }
      }),
    );
}

async function completeDocument(
  { streams }: Shell,
  document: Document,
  directory: string,
): Promise<Document> {
  const complete = (part: ManifestInput) => completeManifest(part, directory, streams.stdin);
  if (document.kind === 'Plugin') {
    return { ...document, members: await complete(document.members as ManifestInput) };
  }
  const { config: given } = document.members;
  if (typeof given !== 'object' || given === null) return document;
  // A config names its images as a manifest does, and may have one of its own.
  const config: Record<string, unknown> = { ...(await complete(given as ManifestInput)) };
  const { manifest } = given as { manifest?: ManifestInput | null };
  if (manifest) config['manifest'] = await complete(manifest);
  return { ...document, members: { ...document.members, config } };
}

function sayApplied(shell: Shell, applied: Applied, dryRun: boolean): void {
  if (shell.json) {
    shell.print(JSON.stringify(applied));
    return;
  }
  const { kind, name, plan, pending_restart, ready } = applied;
  const isPlanned = dryRun && applied.result !== 'unchanged';
  const result = isPlanned ? `would be ${applied.result}` : applied.result;
  const counts = ready === undefined ? '' : `; ${ready}`;
  const later = pending_restart ? '; takes effect at the next start' : '';
  shell.print(`${kind} ${name}  ${result}${later}${counts}`);
  for (const { action, subject } of plan?.actions ?? []) shell.print(`  ${action} ${subject}`);
}
