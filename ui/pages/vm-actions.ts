// ui, pages: start, stop, restart and delete of one VM or many: which of them an action fits, the question before it, and
// what is shown of it.

import type { Vm } from '../../src/schema/vm.ts';
import { api } from '../data/api.ts';
import { type BulkResult, forEachVm } from '../data/bulk.ts';
import { confirm } from '../parts/dialog.tsx';
import { tellProgress, toast } from '../parts/toasts.tsx';

export type VmAction = 'start' | 'stop' | 'restart' | 'delete';

interface Meaning {
  readonly label: string;
  readonly doing: string;
  readonly done: string;
  readonly fits: (vm: Vm) => boolean;
  readonly run: (name: string) => Promise<unknown>;
  /** What is asked before; undefined: nothing is lost, so nothing is asked for one VM. */
  readonly warning?: string;
}

const isAtRest = ({ status }: Vm) => status === 'stopped' || status === 'crashed';
const isUp = ({ status }: Vm) => status === 'running' || status === 'starting';

export const VM_ACTIONS: Readonly<Record<VmAction, Meaning>> = {
  start: {
    label: 'Start',
    doing: 'Starting',
    done: 'Started',
    fits: isAtRest,
    run: (name) => api().vms.start(name),
  },
  stop: {
    label: 'Stop',
    doing: 'Stopping',
    done: 'Stopped',
    fits: isUp,
    run: (name) => api().vms.stop(name),
    warning: 'Guests are asked to power off, and ended if they do not. Disks stay.',
  },
  restart: {
    label: 'Restart',
    doing: 'Restarting',
    done: 'Restarted',
    fits: ({ status }) => status === 'running' || status === 'stopped' || status === 'crashed',
    run: (name) => api().vms.restart(name),
    warning: 'Guests are asked to power off, and started again with their present config.',
  },
  delete: {
    label: 'Delete',
    doing: 'Deleting',
    done: 'Deleted',
    fits: ({ status }) => status !== 'deleting',
    run: (name) => api().vms.destroy(name),
    warning: 'Guests are ended, and what they wrote to disks is removed. This cannot be undone.',
  },
};

const NAMES_SHOWN = 5;

/** `one`, or `3 VMs`. */
function counted(vms: readonly Vm[]): string {
  const [first] = vms;
  return vms.length === 1 && first !== undefined ? first.name : `${vms.length} VMs`;
}

function listed(vms: readonly Vm[]): string {
  const names = vms.slice(0, NAMES_SHOWN).map(({ name }) => name);
  const more = vms.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
}

/**
 * Does it to those VMs of the list that it fits, after the user has agreed: `onBegin` is called then. Resolves when all are
 * done, with false if the user did not agree.
 */
export async function actOn(
  action: VmAction,
  vms: readonly Vm[],
  onBegin?: () => void,
): Promise<boolean> {
  const { label, doing, done, fits, run, warning } = VM_ACTIONS[action];
  const fitting = vms.filter(fits);
  if (fitting.length === 0) {
    toast('bad', `${label}: none of these VMs is in a status that allows it`);
    return false;
  }
  const others = vms.length - fitting.length;
  const skipped = others === 0 ? '' : ` ${others} that are not in a status for it are left alone.`;
  if (warning !== undefined || fitting.length > 1) {
    const title = `${label} ${counted(fitting)}?`;
    const text = [fitting.length > 1 ? listed(fitting) : '', warning ?? '', skipped]
      .join(' ')
      .trim();
    const isDangerous = action === 'delete';
    if (!(await confirm({ title, text, action: label, isDangerous }))) return false;
  }
  onBegin?.();
  const names = fitting.map(({ name }) => name);
  const begin = `${doing} ${counted(fitting)}…`;
  const result = await tellProgress(
    begin,
    (tell) =>
      forEachVm(names, run, (ended) => {
        if (names.length > 1) tell(`${begin} ${ended} of ${names.length}`);
      }),
    (ended: BulkResult) =>
      ended.failures.size === 0
        ? `${done} ${counted(fitting)}`
        : `${done} ${ended.done} of ${names.length} VMs`,
  );
  tellFailures(label, result?.failures ?? new Map());
  return true;
}

function tellFailures(label: string, failures: ReadonlyMap<string, string>): void {
  const [first] = failures;
  if (first === undefined) return;
  const more = failures.size > 1 ? ` (and ${failures.size - 1} more)` : '';
  toast('bad', `${label} ${first[0]}: ${first[1]}${more}`);
}
