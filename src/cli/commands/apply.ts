// cli, commands: `volar apply`.

import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { ManifestInput } from '../../client/types.ts';
import { type Applied, applyDocument, type Document, toDocuments } from '../apply.ts';
import { parseJson, readText } from '../arguments.ts';
import { completeManifest } from '../manifest-file.ts';
import type { Shell, ShellMaker } from '../shell.ts';

interface ApplyFlags {
  readonly file: string;
  readonly dryRun?: true;
}

export function addApply(program: Command, shells: ShellMaker): void {
  program
    .command('apply')
    .description('make VMs, deployments and plugins as a file describes them')
    .requiredOption('-f, --file <file>', 'one document or a list, as JSON; "-" is standard input')
    .option('--dry-run', 'say what would be done, and do nothing')
    .action(
      shells.action<ApplyFlags>(async (shell, _args, { file, dryRun }) => {
        const content = parseJson(await readText(file, shell.streams.stdin), file);
        // All are read before the first is done, so that a slip in the last one changes nothing.
        const documents = toDocuments(content, file);
        const directory = file === '-' ? process.cwd() : dirname(resolve(file));
        for (const document of documents) {
          const complete = await completeDocument(shell, document, directory);
          const work = applyDocument(shell.client, complete, dryRun === true);
          const { name } = document;
          sayApplied(shell, await shell.progressOf(name, `Applying ${name}`, work));
        }
      }),
    );
}

async function completeDocument(
  { streams }: Shell,
  document: Document,
  directory: string,
): Promise<Document> {
  if (document.kind !== 'Plugin') return document;
  const manifest = document.members as ManifestInput;
  const members = await completeManifest(manifest, directory, streams.stdin);
  return { ...document, members };
}

function sayApplied(shell: Shell, applied: Applied): void {
  if (shell.json) {
    shell.print(JSON.stringify(applied));
    return;
  }
  const { kind, name, result, plan, pending_restart } = applied;
  const later = pending_restart ? '; takes effect at the next start' : '';
  shell.print(`${kind} ${name}  ${result}${later}`);
  for (const { action, subject } of plan?.actions ?? []) shell.print(`  ${action} ${subject}`);
}
