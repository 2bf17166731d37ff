// engine, state: the API object of a VM, made from its record and what is known beside it. Pure.

import { toTimestamp } from '../../lib/clock.ts';
import type { Condition } from '../../schema/condition.ts';
import type { Vm, VmWorkload } from '../../schema/vm.ts';
import { RUN_FILES } from '../ports/hypervisor-ports.ts';
import type { VmRecord } from '../records.ts';

/** What the body has beside the record. */
export interface BodyExtras {
  readonly waitsFor: string | undefined;
  readonly conditions: readonly Condition[];
  readonly workload: VmWorkload | undefined;
}

/** The API object of a VM. `runtimeDirectory` has the sockets of running VMs. */
export function vmOf(
  record: VmRecord,
  runtimeDirectory: string,
  { waitsFor, conditions, workload }: BodyExtras,
): Vm {
  const reason = waitsFor ?? crashIn(record);
  const alive = record.process !== null;
  return {
    id: record.id,
    name: record.name,
    status: record.status,
    ...(reason === undefined ? {} : { status_reason: reason }),
    conditions: [...conditions],
    exit_code: record.observed.exit?.code ?? null,
    exit_signal: record.observed.exit?.signal ?? null,
    ...(workload === undefined ? {} : { workload }),
    runtime: record.runtime,
    plugin: record.plugin,
    ...(record.process === null ? {} : { pid: record.process.pid }),
    ip_address: record.leases.ipAddress ?? '',
    mac_address: record.leases.macAddress,
    vsock_cid: record.leases.vsockCid,
    cpu_cores: record.cpuCores,
    memory_mb: record.memoryMb,
    kernel_cmdline: record.kernelCmdline,
    serial_socket: alive ? `${runtimeDirectory}/${record.id}/${RUN_FILES.serial}` : '',
    ...(record.deadline ? { deadline: toTimestamp(record.deadline.atMs) } : {}),
    created_at: toTimestamp(record.createdAtMs),
    updated_at: toTimestamp(record.updatedAtMs),
  };
}

/** The message of the condition that says how the VM crashed. */
function crashIn({ status, conditions = [] }: VmRecord): string | undefined {
  if (status !== 'crashed') return undefined;
  return conditions.find((condition) => condition.type === 'Running')?.message;
}
