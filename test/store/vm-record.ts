// test helpers: records as the engine writes them.

import type { VmRecord } from '../../src/engine/records.ts';

/** Of a VM that runs. */
export function vmRecord(id: number, more: Partial<VmRecord> = {}): VmRecord {
  return {
    id,
    name: `vm-${id}`,
    wanted: { state: 'running', launch: 1 },
    observed: { launch: 1, attempt: 1, end: null, isReleased: false },
    status: 'running',
    plugin: 'hello',
    runtime: 'kestrel',
    cpuCores: 1,
    memoryMb: 128,
    kernelCmdline: 'console=ttyS0 panic=1',
    networkMode: 'bridged',
    leases: {
      ipAddress: `10.0.${id >> 8}.${id & 255}`,
      macAddress: '02:ab:00:00:00:01',
      tapName: `vtabcd-${id.toString(36)}`,
      vsockCid: 3 + id,
    },
    configVersion: 1,
    launchedConfigVersion: 1,
    neverRan: false,
    driver: 'simulator',
    process: null,
    createdAtMs: 1,
    updatedAtMs: 1,
    ...more,
  };
}
