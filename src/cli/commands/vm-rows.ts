// cli, commands: how VMs are printed, in tables and one by one.

import type { ConfigEnvelope, ManifestInput, Vm, VmConfigInput } from '../../client/types.ts';
import type { Shell } from '../shell.ts';
import type { Column, Facts } from '../terminal/table.ts';

/** A VM, or the last known row of a deleted one. */
export type VmRow = Omit<Vm, 'status'> & { readonly status: string };

export const VM_COLUMNS: readonly Column<VmRow>[] = [
  { title: 'NAME', of: (vm) => vm.name },
  { title: 'STATUS', of: statusText },
  { title: 'PLUGIN', of: (vm) => vm.plugin },
  { title: 'ADDRESS', of: (vm) => vm.ip_address },
  { title: 'MAC', of: (vm) => vm.mac_address, optional: true },
  { title: 'CPU', of: (vm) => vm.cpu_cores },
  { title: 'MEMORY (MiB)', of: (vm) => vm.memory_mb },
];

/** The status, with the end of a workload that has ended for good. A daemon of an earlier version reports none. */
export function statusText({ status, exit_code, exit_signal }: VmRow): string {
  if (typeof exit_code === 'number') return `${status} (exit ${exit_code})`;
  return typeof exit_signal === 'number' ? `${status} (signal ${exit_signal})` : status;
}

/** The row of a deleted VM. */
export function deletedVm({ pid: _, ...vm }: VmRow): VmRow {
  return { ...vm, status: 'deleted' };
}

/** Prints a VM and its config. */
export function printVm(shell: Shell, vm: Vm, envelope: ConfigEnvelope): void {
  const { config, pending_restart: isPending, version } = envelope;
  const { manifest, network, expose = [] } = config;
  const facts: Facts = [
    ['name', vm.name],
    ['status', statusText(vm)],
    ['why', whyOf(vm)],
    ...wrongConditionsOf(vm),
    ...workloadOf(vm),
    ['plugin', vm.plugin],
    ['runtime', vm.runtime],
    ['network', network?.mode || manifest?.network?.mode || 'bridged'],
    ['address', vm.ip_address],
    ['mac', vm.mac_address],
    ['cpu', vm.cpu_cores],
    ['memory', `${vm.memory_mb} MiB`],
    ['ports', expose.map(portText).join(', ')],
    ['root disk', config.rootfs?.url || manifest?.rootfs?.url],
    ['disks', (manifest?.disks ?? []).map(diskText).join(', ')],
    ['config', `version ${version}${isPending ? ', takes effect at the next start' : ''}`],
    ['pid', vm.pid],
    ['vsock cid', vm.vsock_cid],
    ['console', vm.serial_socket],
    ['kernel arguments', vm.kernel_cmdline],
    ['created', vm.created_at],
    ['updated', vm.updated_at],
  ];
  shell.printFacts(vm, facts);
}

/** What the VM waits for. How it crashed is in its condition instead. */
function whyOf({ status, status_reason }: Vm): string | undefined {
  return status === 'crashed' ? undefined : status_reason;
}

/** Conditions that are false. A daemon of an earlier version has none. */
function wrongConditionsOf(vm: Vm): Facts {
  const conditions: Vm['conditions'] | undefined = vm.conditions;
  return (conditions ?? [])
    .filter(({ status }) => !status)
    .map(({ type, reason, message, since }) => [
      'condition',
      `${type} is false since ${since} (${reason}): ${message}`,
    ]);
}

function portText({
  host_port: hostPort,
  port,
  protocol = 'tcp',
}: NonNullable<VmConfigInput['expose']>[number]): string {
  return `${hostPort || 'any'} -> ${port}/${protocol}`;
}

function diskText({
  name,
  source,
  readonly: isReadonly,
}: NonNullable<ManifestInput['disks']>[number]): string {
  return `${name} (${source}${isReadonly ? ', read-only' : ''})`;
}

/** State of the workload as the agent reports it; an agent of an earlier version reports less. */
function workloadOf({ workload }: Vm): Facts {
  if (workload === undefined) return [];
  const { state, healthy, check_failure, restarts, last_exit, last_lines = [] } = workload;
  const health = healthy === null ? '' : healthy ? ', healthy' : ', not healthy';
  // The VM is there for execs and files.
  if (state === 'none') {
    return [
      ['workload', `no program of its own${health}`],
      ['check fails', check_failure],
    ];
  }
  return [
    ['workload', `${state}${health}${restarts > 0 ? `, restarted ${restarts} times` : ''}`],
    ['check fails', check_failure],
    ['last exit', last_exit],
    ...last_lines.map((line): Facts[number] => ['last lines', line]),
  ];
}
