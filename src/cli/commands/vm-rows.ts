// cli, commands: how VMs are shown, in tables and one by one.

import type { ConfigEnvelope, ManifestInput, Vm, VmConfigInput } from '../../client/types.ts';
import type { Shell } from '../shell.ts';
import type { Column, Facts } from '../table.ts';

/** A VM, or what is left to tell of one. */
export type VmRow = Omit<Vm, 'status'> & { readonly status: string };

export const VM_COLUMNS: readonly Column<VmRow>[] = [
  { title: 'NAME', of: (vm) => vm.name },
  { title: 'STATUS', of: (vm) => vm.status },
  { title: 'PLUGIN', of: (vm) => vm.plugin },
  { title: 'ADDRESS', of: (vm) => vm.ip_address },
  { title: 'MAC', of: (vm) => vm.mac_address, optional: true },
  { title: 'CPU', of: (vm) => vm.cpu_cores },
  { title: 'MEMORY (MiB)', of: (vm) => vm.memory_mb },
];

/** The row of a VM that is no longer there. */
export function deletedVm({ pid: _, ...vm }: VmRow): VmRow {
  return { ...vm, status: 'deleted' };
}

/** A VM and what it was made of. */
export function printVm(shell: Shell, vm: Vm, envelope: ConfigEnvelope): void {
  const { config, pending_restart: isPending, version } = envelope;
  const { manifest, network, expose = [] } = config;
  const facts: Facts = [
    ['name', vm.name],
    ['status', vm.status],
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

/** Why it is not further; how it crashed is said by its condition. */
function whyOf({ status, status_reason }: Vm): string | undefined {
  return status === 'crashed' ? undefined : status_reason;
}

/** Those that are not as they should be. A daemon of an earlier version tells none. */
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

/** What the agent tells of the workload; an agent of an earlier version tells less. */
function workloadOf({ workload }: Vm): Facts {
  if (workload === undefined) return [];
  const { state, healthy, check_failure, restarts, last_exit, last_lines = [] } = workload;
  const health = healthy === null ? '' : healthy ? ', healthy' : ', not healthy';
  return [
    ['workload', `${state}${health}${restarts > 0 ? `, started again ${restarts} times` : ''}`],
    ['check fails', check_failure],
    ['last exit', last_exit],
    ...last_lines.map((line): Facts[number] => ['last lines', line]),
  ];
}
