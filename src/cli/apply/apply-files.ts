// cli, apply: what `volar apply` does: reads and plans all documents, asks before it deletes, carries out, prints.

import type { WaitOptions } from '../../client/types.ts';
import { parsePairs } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import { canAsk, confirm } from '../terminal/confirm.ts';
import { keyOf, readDocuments } from './documents.ts';
import { changedMembers } from './members.ts';
import { type Outcome, type Plan, planAll } from './plans.ts';
import { findPrunable, type Labelled, pruneObject, type Selector } from './prune.ts';

/** As one line for people; programs get all. */
const CHANGES_SHOWN_MAX = 6;

export interface ApplyFlags {
  readonly file: readonly string[];
  readonly dryRun?: true;
  readonly wait?: true;
  readonly timeout: number;
  readonly prune?: true;
  readonly selector?: readonly string[];
  readonly yes?: true;
}

/** Waits for the roll-out of a deployment until a time of performance.now(), and prints its progress. */
type Follow = (shell: Shell, name: string, endMs: number) => Promise<void>;

export async function applyFiles(shell: Shell, flags: ApplyFlags, follow: Follow): Promise<void> {
  const selector = selectorOf(shell, flags);
  const read = await readDocuments(flags.file, shell.streams.stdin);
  // Everything is checked before the first change.
  const plans = await shell.progress('Checking the documents', planAll(shell.client, read));
  const pruned =
    selector === null ? [] : await findPrunable(shell.client, selector, read.documents);
  const isAsked = pruned.length > 0 && !flags.dryRun && !flags.yes;
  if (isAsked) await askToPrune(shell, pruned);
  await applyAll(shell, plans, pruned, flags, follow);
  await pruneAll(shell, pruned, flags);
}

/** null: nothing is pruned. */
function selectorOf(shell: Shell, flags: ApplyFlags): Selector | null {
  const { prune, selector = [], yes, dryRun, file } = flags;
  if (!prune) {
    if (selector.length > 0) throw new UsageError('--selector is for --prune, which is missing');
    return null;
  }
  if (selector.length === 0) {
    throw new UsageError('--prune needs --selector key=value, the label of what may be deleted');
  }
  if (!yes && !dryRun && (!canAsk(shell.streams) || file.includes('-'))) {
    throw new UsageError('--prune needs --yes where it cannot ask: standard input is no terminal');
  }
  return parsePairs(selector);
}

async function askToPrune(shell: Shell, pruned: readonly Labelled[]): Promise<void> {
  shell.note('These are not in the files and will be deleted:');
  for (const { kind, name } of pruned) shell.note(`  ${kind} ${name}`);
  if (await confirm(shell.streams, 'Apply, and delete them?')) return;
  throw new Error('Nothing was changed: the answer was not yes');
}

async function applyAll(
  shell: Shell,
  plans: readonly Plan[],
  pruned: readonly Labelled[],
  { dryRun, wait, timeout }: ApplyFlags,
  follow: Follow,
): Promise<void> {
  const options: WaitOptions = wait ? { wait: 'ready', waitTimeoutMs: timeout } : {};
  const names = [...plans.map(({ document }) => document.name), ...pruned.map(({ name }) => name)];
  for (const [index, plan] of plans.entries()) {
    const { name, kind } = plan.document;
    const later = names.slice(index + 1);
    shell.interrupts.notBegun = later;
    if (dryRun || plan.result === 'unchanged') sayPlan(shell, plan, dryRun === true);
    else {
      const work = plan.apply(options);
      const progress = shell.progressOf(plan.document, `Applying ${name}`, work);
      say(shell, plan, await withFailureNamed(shell, plan.document, later, progress), false);
    }
    if (wait && !dryRun && kind === 'Deployment') {
      await follow(shell, name, performance.now() + timeout);
    }
  }
}

async function pruneAll(
  shell: Shell,
  pruned: readonly Labelled[],
  { dryRun }: ApplyFlags,
): Promise<void> {
  for (const [index, object] of pruned.entries()) {
    const { kind, name } = object;
    const later = pruned.slice(index + 1).map((other) => other.name);
    shell.interrupts.notBegun = later;
    if (!dryRun) {
      const progress = shell.progressOf(
        object,
        `Deleting ${name}`,
        pruneObject(shell.client, object),
      );
      await withFailureNamed(shell, object, later, progress);
    }
    if (shell.json) shell.print(JSON.stringify({ kind, name, result: 'pruned' }));
    else shell.print(`${kind} ${name}  ${dryRun ? 'would be pruned' : 'pruned'}`);
  }
}

/** Waits for work on an object; if it fails, says which object that was and what is left. */
async function withFailureNamed<T>(
  shell: Shell,
  object: Labelled,
  later: readonly string[],
  work: Promise<T>,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const rest = later.length === 0 ? '' : `; not begun: ${later.join(', ')}`;
    if (!shell.json) shell.note(`${keyOf(object)}  failed${rest}`);
    throw error;
  }
}

function sayPlan(shell: Shell, plan: Plan, dryRun: boolean): void {
  const { ready, plan: answer } = plan;
  // The counts of a deployment that would be created are no counts yet.
  const counts = plan.before === undefined || ready === undefined ? {} : { ready };
  say(shell, plan, { ...counts }, dryRun && plan.result !== 'unchanged');
  if (!dryRun || shell.json) return;
  for (const { action, subject } of answer?.actions ?? []) shell.print(`  ${action} ${subject}`);
}

function say(shell: Shell, plan: Plan, outcome: Outcome, isPlanned: boolean): void {
  const { document, result, before, after } = plan;
  const { kind, name } = document;
  const changes = result === 'changed' ? changedMembers(before, after) : undefined;
  if (shell.json) {
    const answer = isPlanned ? { plan: plan.plan } : {};
    shell.print(JSON.stringify({ kind, name, result, changes, ...outcome, ...answer }));
    return;
  }
  const word = isPlanned ? `would be ${result}` : result;
  const members = changes === undefined ? '' : `: ${shortened(changes)}`;
  const later = outcome.pending_restart ? '; takes effect at the next start' : '';
  const counts = outcome.ready === undefined ? '' : `; ${outcome.ready}`;
  shell.print(`${kind} ${name}  ${word}${members}${later}${counts}`);
}

function shortened(changes: readonly string[]): string {
  const rest = changes.length - CHANGES_SHOWN_MAX;
  const shown = changes.slice(0, CHANGES_SHOWN_MAX).join(', ');
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}
