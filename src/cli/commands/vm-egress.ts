// cli, commands: `vms egress`: shows what a guest may reach and what was counted, and changes the rules.

import type { Command } from 'commander';
import type { ConfigPatch, EgressInput, EgressStatus } from '../../client/types.ts';
import { collect } from '../arguments.ts';
import { UsageError } from '../exit.ts';
import type { Shell } from '../shell.ts';
import type { ShellMaker } from '../shell-maker.ts';

interface EgressFlags {
  readonly default?: string;
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly remove?: true;
}

export function addVmEgress(vms: Command, shells: ShellMaker): void {
  vms
    .command('egress')
    .description('show what a guest may reach, or change it at once')
    .argument('<vm>', 'name')
    .option('--default <verdict>', 'allow or deny, for everything that no entry names')
    .option('--allow <entry>', 'replaces the allowed entries; may be repeated', collect)
    .option('--deny <entry>', 'replaces the denied entries; may be repeated', collect)
    .option('--remove', 'remove the rules of the VM; those of its plugin stay')
    .action(
      shells.action<EgressFlags>(async (shell, [name = ''], flags) => {
        if (Object.keys(flags).length > 0) await change(shell, name, flags);
        const status = await shell.client.vms.egress(name);
        shell.printFacts(status, factsOf(status));
      }),
    );
}

/** Keeps the other members of `network`. Fails if the config has changed meanwhile. */
async function change(shell: Shell, name: string, flags: EgressFlags): Promise<void> {
  const { configs } = shell.client;
  const { config, version } = await configs.get(name);
  const { egress, ...others } = config.network ?? {};
  if (flags.remove && Object.keys(flags).length > 1) {
    throw new UsageError('--remove goes with no other option');
  }
  const rules = flags.remove
    ? undefined
    : changed(egress ?? config.manifest?.network?.egress, flags);
  const network = rules === undefined ? others : { ...others, egress: rules };
  const patch: ConfigPatch = { network: Object.keys(network).length === 0 ? null : network };
  await configs.update(name, patch, { ifVersion: version });
}

function changed(before: EgressInput | null | undefined, flags: EgressFlags): EgressInput {
  const otherwise = flags.default ?? before?.default;
  if (otherwise === undefined) {
    throw new UsageError(
      '--allow and --deny need --default allow or deny: the VM has no rules yet',
    );
  }
  const { allow = before?.allow ?? [], deny = before?.deny ?? [] } = flags;
  return { default: otherwise, allow: [...allow], deny: [...deny] };
}

function factsOf(status: EgressStatus) {
  const { rules, in_force: isInForce, packets, bytes } = status;
  if (rules === null) return [['default', 'allow (no rules)']] as const;
  return [
    ['default', rules.default],
    ['allow', rules.allow.join(', ')],
    ['deny', rules.deny.join(', ')],
    ['in force', isInForce ? 'yes' : 'no: the VM does not run'],
    ['passed', `${packets} packets, ${bytes} bytes`],
    ['refused', `${status.refused_packets} packets, ${status.refused_bytes} bytes`],
  ] as const;
}
