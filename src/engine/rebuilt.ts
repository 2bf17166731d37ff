// engine: records that are written anew because those that there are do not fit to the host: VMs that run and were
// forgotten, and a state that was copied beside the one that it was copied from. Pure.

import { macAddressOf, tapNameOf, vsockCidOf } from './identity.ts';
import type { DescribedVm } from './rebuilt-others.ts';
import type { ProcessIdentity, VmRecord } from './records.ts';
import { putVm } from './state.ts';
import type { Snapshot, Write } from './store-ports.ts';
import { changed } from './vms/status.ts';

/** A VM that the records know, whose hypervisor is not the one that they name. */
export interface FoundVm {
  readonly record: VmRecord;
  readonly process: ProcessIdentity;
}

/**
 * The record, config and lease of a VM that was forgotten: it runs, or is stopped. A deployment that is known has its
 * replicas, and this would be one too many: the VM belongs to none then.
 */
export function writesOfRebuilt(
  { process, description }: DescribedVm,
  { deployments }: Pick<Snapshot, 'deployments'>,
  nowMs: number,
): Write[] {
  const { replica, ...alone } = description.record;
  const isStrange = deployments.some(({ name }) => name === replica?.deployment);
  const record = isStrange ? alone : description.record;
  const { id: vmId, configVersion, leases, wanted } = record;
  const next = changed(
    { ...record, status: 'stopped', neverRan: false },
    {
      process,
      wanted: { state: process === null ? 'stopped' : 'running' },
      observed: {
        launch: wanted.launch,
        attempt: 1,
        end: process === null ? 'stopped' : null,
        isReleased: false,
      },
    },
    nowMs,
  );
  const config = { vmId, version: configVersion, config: description.config, updatedAtMs: nowMs };
  const writes: Write[] = [
    putVm({ ...next, launchedConfigVersion: configVersion }),
    { table: 'configs', key: [vmId, configVersion], value: config },
  ];
  if (leases.ipAddress !== null) {
    const value = { vmId, releasedAtMs: null };
    writes.push({ table: 'addresses', key: leases.ipAddress, value });
  }
  return writes;
}

/** The record of a VM of which the records know an older launch: it runs. */
export function writeOfFound({ record, process }: FoundVm, nowMs: number): Write {
  const { launch } = record.wanted;
  const observed = { launch, attempt: 1, end: null, isReleased: false };
  const wanted = { state: 'running' } as const;
  return putVm(changed(record, { process, neverRan: false, wanted, observed }, nowMs));
}

/** What makes VMs unlike each other and yet the same: a name or an address that two of them have. */
export function conflictIn(records: readonly VmRecord[]): string | null {
  const owners = new Map<string, VmRecord>();
  for (const record of records) {
    for (const held of [record.name, record.leases.ipAddress]) {
      if (held === null) continue;
      const other = owners.get(held);
      if (other !== undefined) return `VMs ${other.id} and ${record.id} both have ${held}`;
      owners.set(held, record);
    }
  }
  return null;
}

/**
 * A copied state with names in the kernel of its own. What the original did to the host and the devices that it took stay
 * the original's business.
 */
export function writesOfCopy(
  { vms, devices }: Pick<Snapshot, 'vms' | 'devices'>,
  hostTag: string,
): Write[] {
  return [
    ...vms.map((record) => putVm(releasedAnew(record, hostTag))),
    ...devices.map(({ address }): Write => ({ table: 'devices', key: address, value: null })),
    { table: 'meta', key: 'hostChanges', value: null },
    { table: 'meta', key: 'hostTag', value: hostTag },
  ];
}

function releasedAnew(record: VmRecord, hostTag: string): VmRecord {
  const { id, leases } = record;
  return {
    ...record,
    leases: {
      ...leases,
      macAddress: macAddressOf(hostTag, id),
      tapName: leases.tapName === null ? null : tapNameOf(hostTag, id),
      vsockCid: vsockCidOf(hostTag, id),
    },
  };
}
