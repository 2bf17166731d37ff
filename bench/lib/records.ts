// bench: a state with as many VMs as are wanted, written through the store and not by launching them: stopped VMs of the
// built-in plugin, each with its config, its address and the two operations that it has had. A program, too:
// node .build/bench/lib/records.js DIRECTORY COUNT

import { fileURLToPath } from 'node:url';
import { builtinPlugins } from '../../src/engine/plugins/builtin-plugins.ts';
import { checkedManifest } from '../../src/engine/plugins/plugins.ts';
import type { Write } from '../../src/engine/ports/store-ports.ts';
import type { OperationRecord, VmRecord } from '../../src/engine/records.ts';
import { macAddressOf, tapNameOf, vsockCidOf } from '../../src/engine/vm-record/derived-names.ts';
import { resolveConfig } from '../../src/engine/vms/launch/launch-spec.ts';
import { createLog, type Logger } from '../../src/lib/log/log.ts';
import { formatIpv4, parseIpv4 } from '../../src/lib/net/ipv4.ts';
import type { VmConfig } from '../../src/schema/vm-config.ts';
import { openStore } from '../../src/store/store.ts';

/** Commits that are on their way at a time: as many as one transaction takes. */
const BATCH = 512;

const HOST_TAG = 'be7c';
const FIRST_ADDRESS = '10.88.0.10';
const FIRST_CREATED_MS = Date.UTC(2026, 0, 1);

/** For the daemon that runs on these records. */
export const SETTINGS_FOR_RECORDS = { VOLANT_SUBNET: '10.88.0.0/14', VOLANT_HOST_IP: '10.88.0.1' };

/** The name of a VM of such a state; ids begin with 1. */
export function nameOf(id: number): string {
  return `vm-${id}`;
}

/** Writes a new state into this directory. Every seventh VM has another plugin and runtime, so that filters find a part. */
export async function makeRecords(directory: string, count: number): Promise<void> {
  const store = openStore(directory, silentLog());
  const config = builtinConfig();
  await store.commit([{ table: 'meta', key: 'hostTag', value: HOST_TAG }], []);
  for (let first = 1; first <= count; first += BATCH) {
    const ids = Array.from({ length: Math.min(BATCH, count - first + 1) }, (_, at) => first + at);
    await Promise.all(ids.map((id) => store.commit(writesOf(id, config), [])));
  }
  await store.commit([{ table: 'meta', key: 'lastVmId', value: count }], []);
  await store.close();
}

/** Before a teardown, which would delete them one by one: their kernel objects were never made. */
export async function removeRecords(directory: string): Promise<void> {
  const store = openStore(directory, silentLog());
  const ids = store.allVms().map(({ id }) => id);
  for (let first = 0; first < ids.length; first += BATCH) {
    const some = ids.slice(first, first + BATCH);
    await store.commit(
      some.map((key) => ({ table: 'vms', key, value: null }) as const),
      [],
    );
  }
  await store.close();
}

function silentLog(): Logger {
  const [file, none] = [null, 1];
  const bounds = { fileBytesMax: none, queueCharactersMax: none, retryMs: none, checkMs: none };
  return createLog({ level: 'error', file, ...bounds }).log;
}

function builtinConfig(): VmConfig {
  const [input = {}] = builtinPlugins('/var/lib/volant/images');
  return resolveConfig({}, checkedManifest(input, ''), {
    apiHost: '10.88.0.1',
    apiPort: 7777,
    cpuCoresMax: 64,
    memoryMbMin: 1,
    memoryMbMax: 65_536,
    kernelCmdlineBytesMax: 2_000,
    isSimulated: true,
  });
}

function writesOf(id: number, config: VmConfig): Write[] {
  const record = recordOf(id, config);
  const ipAddress = record.leases.ipAddress ?? '';
  const updatedAtMs = record.createdAtMs;
  return [
    { table: 'vms', key: id, value: record },
    { table: 'configs', key: [id, 1], value: { vmId: id, version: 1, config, updatedAtMs } },
    { table: 'addresses', key: ipAddress, value: { vmId: id, releasedAtMs: null } },
    ...operationsOf(record).map(
      (value): Write => ({ table: 'operations', key: [id, value.number], value }),
    ),
  ];
}

function recordOf(id: number, config: VmConfig): VmRecord {
  const isOther = id % 7 === 0;
  const createdAtMs = FIRST_CREATED_MS + id * 10;
  const cause = {
    by: 'request',
    requestId: `5f2c88d1aa-${id}`,
    client: 'address 127.0.0.1',
  } as const;
  return {
    id,
    name: nameOf(id),
    wanted: {
      state: 'stopped',
      launch: 1,
      graceMs: null,
      cause,
      size: { memoryMb: 128, cpuCores: 1 },
    },
    observed: { launch: 1, attempt: 1, end: 'stopped', isReleased: true },
    status: 'stopped',
    plugin: isOther ? 'other' : config.plugin,
    runtime: isOther ? 'other' : config.runtime,
    cpuCores: 1,
    memoryMb: 128,
    kernelCmdline: 'console=ttyS0 reboot=k panic=1 nomodules random.trust_cpu=on tsc=reliable',
    networkMode: 'bridged',
    leases: {
      ipAddress: formatIpv4((parseIpv4(FIRST_ADDRESS) ?? 0) + id - 1),
      macAddress: macAddressOf(HOST_TAG, id),
      tapName: tapNameOf(HOST_TAG, id),
      vsockCid: vsockCidOf(HOST_TAG, id),
    },
    configVersion: 1,
    launchedConfigVersion: 1,
    neverRan: false,
    driver: 'simulator',
    process: null,
    conditions: [],
    createdAtMs,
    // Another order than that of the creations.
    updatedAtMs: createdAtMs + 60_000 + ((id * 7_919) % 100_003),
  };
}

function operationsOf({ id, createdAtMs, wanted }: VmRecord): readonly OperationRecord[] {
  const { cause } = wanted;
  const done = {
    vmId: id,
    ...(cause === undefined ? {} : { cause }),
    outcome: 'done',
    error: null,
  } as const;
  const step = (name: string) => ({ step: name, times: 1, duration_ms: 12, error: null });
  return [
    {
      ...done,
      number: 1,
      kind: 'create',
      startedAtMs: createdAtMs,
      endedAtMs: createdAtMs + 40,
      steps: [step('launch'), step('noteRunning')],
    },
    {
      ...done,
      number: 2,
      kind: 'stop',
      startedAtMs: createdAtMs + 1_000,
      endedAtMs: createdAtMs + 1_060,
      steps: [step('end'), step('release'), step('noteReleased')],
    },
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , directory = '', count = ''] = process.argv;
  await makeRecords(directory, Number(count));
}
