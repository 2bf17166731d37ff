// store: which tables there are and how their keys look.
//
//   vms        id                      -> VmRecord
//   configs    [vm id, version]        -> ConfigRecord
//   operations [vm id, number]         -> OperationRecord
//   addresses  dotted quad             -> AddressLease
//   plugins    name                    -> PluginRecord
//   deployments  name                  -> DeploymentRecord
//   devices    PCI address             -> DeviceRecord
//   answers    idempotency key         -> AnswerRecord
//   artifacts  [plugin, version, name] -> ArtifactRecord
//   events     number                  -> EventBody
//   meta       name of a fact          -> the fact
//
// Numbers sort as numbers and arrays member by member, so the configs of one VM lie together and
// events lie in their order.

import type {
  AddressLease,
  AnswerRecord,
  ArtifactRecord,
  ConfigRecord,
  DeploymentRecord,
  DeviceRecord,
  EventBody,
  OperationRecord,
  PluginRecord,
  VmRecord,
} from '../engine/records.ts';
import type { Env, Table } from './env.ts';

/** Raised when a record changes so that an older daemon could not read it. */
export const STORE_VERSION = 2;

export interface Tables {
  readonly vms: Table<number, VmRecord>;
  readonly configs: Table<[number, number], ConfigRecord>;
  readonly operations: Table<[number, number], OperationRecord>;
  readonly addresses: Table<string, AddressLease>;
  readonly plugins: Table<string, PluginRecord>;
  readonly deployments: Table<string, DeploymentRecord>;
  readonly devices: Table<string, DeviceRecord>;
  readonly answers: Table<string, AnswerRecord>;
  readonly artifacts: Table<[string, string, string], ArtifactRecord>;
  readonly events: Table<number, EventBody>;
  readonly meta: Table<string, unknown>;
}

export function openTables(env: Env): Tables {
  return {
    vms: env.table('vms'),
    configs: env.table('configs'),
    operations: env.table('operations'),
    addresses: env.table('addresses'),
    plugins: env.table('plugins'),
    deployments: env.table('deployments'),
    devices: env.table('devices'),
    answers: env.table('answers'),
    artifacts: env.table('artifacts'),
    events: env.table('events'),
    meta: env.table('meta'),
  };
}
