// store: the tables and the form of their keys.
//
//   vms        id                      -> VmRecord
//   summaries  id                      -> what a start needs of the VmRecord: see summaries.ts
//   configs    [vm id, version]        -> ConfigRecord
//   operations [vm id, number]         -> OperationRecord
//   results    vm id                   -> ResultRecord
//   addresses  dotted quad             -> AddressLease
//   plugins    name                    -> PluginRecord
//   deployments  name                  -> DeploymentRecord
//   revisions  [deployment, revision]  -> RevisionRecord
//   devices    PCI address             -> DeviceRecord
//   answers    idempotency key         -> AnswerRecord
//   artifacts  [plugin, version, name] -> ArtifactRecord
//   events     number                  -> EventBody
//   meta       name of a fact          -> the fact
//
// Numbers sort as numbers and arrays member by member, so the configs of one VM are adjacent and
// events are in their order.

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
  ResultRecord,
  RevisionRecord,
  VmRecord,
} from '../engine/records.ts';
import type { Env, Table } from './env.ts';
import type { SummaryRow } from './summaries.ts';

/** Increased when a record changes so that an older daemon could not read it. */
export const STORE_VERSION = 4;

/** All tables, by name. */
export interface Tables {
  readonly vms: Table<number, VmRecord>;
  readonly summaries: Table<number, SummaryRow>;
  readonly configs: Table<[number, number], ConfigRecord>;
  readonly operations: Table<[number, number], OperationRecord>;
  readonly results: Table<number, ResultRecord>;
  readonly addresses: Table<string, AddressLease>;
  readonly plugins: Table<string, PluginRecord>;
  readonly deployments: Table<string, DeploymentRecord>;
  readonly revisions: Table<[string, number], RevisionRecord>;
  readonly devices: Table<string, DeviceRecord>;
  readonly answers: Table<string, AnswerRecord>;
  readonly artifacts: Table<[string, string, string], ArtifactRecord>;
  readonly events: Table<number, EventBody>;
  readonly meta: Table<string, unknown>;
}

/** Opens all tables, and creates missing ones. */
export function openTables(env: Env): Tables {
  return {
    vms: env.table('vms'),
    summaries: env.table('summaries'),
    configs: env.table('configs'),
    operations: env.table('operations'),
    results: env.table('results'),
    addresses: env.table('addresses'),
    plugins: env.table('plugins'),
    deployments: env.table('deployments'),
    revisions: env.table('revisions'),
    devices: env.table('devices'),
    answers: env.table('answers'),
    artifacts: env.table('artifacts'),
    events: env.table('events'),
    meta: env.table('meta'),
  };
}
