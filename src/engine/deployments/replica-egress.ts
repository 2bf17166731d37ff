// engine, deployments: a change of a deployment's egress rules, for the replicas that run: they get the new rules at once,
// and the roll-out replaces them afterwards.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { EgressRules } from '../../lib/net/egress.ts';
import type { ConfigPatch } from '../../schema/config-patch.ts';
import type { ConfigApi } from '../engine-api.ts';
import type { DeploymentRecord, VmRecord } from '../records.ts';
import { isSameRules } from '../vm-record/record-egress.ts';
import { egressRulesOf } from '../vms/launch/launch-spec.ts';

interface Parts {
  readonly configs: Pick<ConfigApi, 'get' | 'patch'>;
  readonly log: Logger;
}

/**
 * Resolves when the replicas have the rules of the new record, where they differ from those of the record before. Never rejects:
 * a replica that could not be changed is replaced like the others.
 */
export async function applyEgressRules(
  parts: Parts,
  replicas: readonly VmRecord[],
  before: DeploymentRecord,
  after: DeploymentRecord,
): Promise<void> {
  const rules = egressRulesOf(after.config);
  if (isSameRules(egressRulesOf(before.config), rules)) return;
  const waiting = [...replicas];
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      await applyToReplica(parts, next.name, rules, after);
    }
  };
  await Promise.all(Array.from({ length: LIMITS.replicaOperationsMax }, work));
}

async function applyToReplica(
  { configs, log }: Parts,
  name: string,
  rules: EgressRules | undefined,
  { cause }: DeploymentRecord,
): Promise<void> {
  try {
    const { egress: _before, ...network } = configs.get(name).config.network ?? {};
    const patch = rules === undefined ? network : { ...network, egress: rules };
    const isEmpty = Object.keys(patch).length === 0;
    await configs.patch(name, { network: isEmpty ? null : patch } as ConfigPatch, undefined, cause);
  } catch (error) {
    if (error instanceof VolantError && error.code === 'VM_NOT_FOUND') return;
    log.warn({ vm: name, err: error }, 'a replica keeps its egress rules until it is replaced');
  }
}
