// cli, commands: `vms list` and `vms get`.

import { type Command, Option } from 'commander';
import { ApiError } from '../../client/errors.ts';
import type { Vm, VmQuery, VmStatus } from '../../client/types.ts';
import { collect, parseCount } from '../arguments.ts';
import type { ShellMaker } from '../shell-maker.ts';
import { byName } from '../terminal/natural-order.ts';
import { showRows, watchRows } from '../watch.ts';
import { deletedVm, printVm, VM_COLUMNS } from './vm-rows.ts';

interface ListFlags extends Omit<VmQuery, 'status' | 'q'> {
  readonly status?: readonly VmStatus[];
  readonly search?: string;
  readonly watch?: true;
}

export function addVmQueries(vms: Command, shells: ShellMaker): void {
  vms
    .command('list')
    .alias('ls')
    .description('list VMs')
    .option('--status <status>', 'only VMs in this status; may be repeated', collect)
    .option('--plugin <name>', 'only VMs of this plugin')
    .option('--runtime <name>', 'only VMs of this runtime')
    .option('--search <text>', 'only VMs with this text in their name, address or runtime')
    .addOption(
      new Option('--sort <key>', 'order of the rows').choices([
        'name',
        'status',
        'runtime',
        'created_at',
        'updated_at',
      ]),
    )
    .addOption(new Option('--order <order>', 'direction').choices(['asc', 'desc']))
    .option('--limit <count>', 'maximum number of rows', parseCount)
    .option('--offset <count>', 'number of rows to skip', parseCount)
    .option('-w, --watch', 'continue, and print each VM that changes')
    .action(
      shells.action<ListFlags>(async (shell, _args, { watch, search, ...rest }) => {
        const query = { ...rest, ...(search === undefined ? {} : { q: search }) };
        const list = async () => inOrder((await shell.client.vms.list(query)).vms, query);
        const columns = VM_COLUMNS;
        const keyOf = ({ id }: { id: number }) => String(id);
        await showRows(shell, watch, { list, keyOf, columns, gone: deletedVm }, 'No VMs.');
      }),
    );
  vms
    .command('get')
    .description('show one VM')
    .argument('<vm>', 'name')
    .option('-w, --watch', 'continue, and print it after each change, until it is deleted')
    .action(
      shells.action<{ watch?: true }>(async (shell, [name = ''], { watch }) => {
        if (watch !== true) {
          const { vms: api, configs } = shell.client;
          return printVm(shell, await api.get(name), await configs.get(name));
        }
        let seen = false;
        const list = async () => {
          try {
            const vm = await shell.client.vms.get(name);
            seen = true;
            return [vm];
          } catch (error) {
            if (seen && error instanceof ApiError && error.status === 404) return [];
            throw error;
          }
        };
        const keyOf = ({ id }: { id: number }) => String(id);
        const watched = { list, keyOf, columns: VM_COLUMNS, gone: deletedVm, untilGone: true };
        await watchRows(shell, watched);
      }),
    );
}

/** The daemon sorts names by their characters; a page of that order cannot be sorted in another way. */
function inOrder(vms: readonly Vm[], { sort, order, limit, offset }: VmQuery): readonly Vm[] {
  if (sort !== 'name' || limit !== undefined || offset !== undefined) return vms;
  const sorted = [...vms].sort(byName);
  return order === 'desc' ? sorted.reverse() : sorted;
}
