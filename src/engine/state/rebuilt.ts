// engine, state: rebuilds records that do not fit the host: running VMs without a record, VMs whose records are old,
// and records that were copied from another daemon. Pure. rebuilt-others.ts has the records of other things.

import type { Snapshot, Write } from '../ports/store-ports.ts';
import type { ProcessIdentity, VmRecord } from '../records.ts';
import { macAddressOf, tapNameOf, vsockCidOf } from '../vm-record/derived-names.ts';
import { changed } from '../vm-record/status.ts';
import type { DescribedVm } from './rebuilt-others.ts';
import { putVm } from './state.ts';

/** A VM whose running hypervisor is not the one in its record. */
export interface FoundVm {
  readonly record: VmRecord;
  readonly process: ProcessIdentity;
}

/**
 * The record, config and allocation of a VM that has no record: running or stopped. If a record of its deployment
 * exists, that has its replicas, so this VM becomes one without a deployment.
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

/** The record of a running VM of which only an older launch is stored. */
export function writeOfFound({ record, process }: FoundVm, nowMs: number): Write {
  const { launch } = record.wanted;
  const observed = { launch, attempt: 1, end: null, isReleased: false };
  const wanted = { state: 'running' } as const;
  return putVm(changed(record, { process, neverRan: false, wanted, observed }, nowMs));
}

/** The first name or address that two VMs both have; null if there is none. */
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
 * Writes that give a copied store kernel names of its own. The devices and the changes to the host still belong to the
 * original.
 */
export function writesOfCopy(
  vms: readonly VmRecord[],
  { devices }: Pick<Snapshot, 'devices'>,
  hostTag: string,
): Write[] {
  return [
    ...vms.map((record) => putVm(withNewNames(record, hostTag))),
    ...devices.map(({ address }): Write => ({ table: 'devices', key: address, value: null })),
    { table: 'meta', key: 'hostChanges', value: null },
    { table: 'meta', key: 'hostTag', value: hostTag },
  ];
}

function withNewNames(record: VmRecord, hostTag: string): VmRecord {
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
