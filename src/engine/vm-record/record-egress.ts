// engine, vm-record: the egress rules of a record. Pure.

import { type EgressRules, policyIdOf } from '../../lib/net/egress.ts';
import type { VmRecord } from '../records.ts';

/** A record with these egress rules in place of its own. */
export function withRules(record: VmRecord, rules: EgressRules | undefined): VmRecord {
  const { egress: _before, ...rest } = record;
  return rules === undefined ? rest : { ...rest, egress: rules };
}

/** Whether two VMs with these rules may reach the same. */
export function isSameRules(one: EgressRules | undefined, other: EgressRules | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return policyIdOf(one) === policyIdOf(other);
}
