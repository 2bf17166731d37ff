// engine: joins the readiness of guests with the parts that know what it depends on.

import type { Limits } from '../config/limits.ts';
import type { Logger } from '../lib/log/log.ts';
import { healthCheckType } from '../schema/rules/health-check-rules.ts';
import type { Boots } from './boots/boots.ts';
import type { ConditionKeeper } from './conditions/condition-keeper.ts';
import { Readiness } from './guests/readiness.ts';
import type { State } from './state/state.ts';
import type { LiveVms } from './vms/processes/live.ts';

/** Events after which a guest is as ready as before, or of which other listeners hear. */
const SEEN = ['VM_DEGRADED', 'VM_REPAIRED', 'VM_RESULT', 'VM_DEADLINE_CHANGED'];

/** When guests are ready, asked again whenever something that it depends on has changed. */
export function createReadiness(parts: {
  readonly state: State;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly conditions: ConditionKeeper;
  readonly limits: Limits;
  readonly log: Logger;
}): Readiness {
  const { state, live, boots, conditions, limits, log } = parts;
  const readiness = new Readiness({
    agentOf: (vmId) => live.runningVm(vmId)?.agent,
    hasBooted: (vmId) => {
      const vm = live.runningVm(vmId);
      return vm !== undefined && boots.isOver(vm);
    },
    checkOf: (vmId) => checkOf(state, vmId),
    isResponsive: (vmId) => conditions.isResponsive(vmId),
    silentForMs: (vmId) => conditions.silentForMs(vmId),
    limits,
    log,
  });
  conditions.subscribe((vmId) => readiness.recheck(vmId));
  state.events.subscribe((stored) => {
    for (const { body } of stored) {
      const record = body.type.startsWith('VM_') ? state.vms.recordByName(body.name) : undefined;
      // Changes of conditions are reported by their own listeners.
      if (record !== undefined && !SEEN.includes(body.type)) readiness.changed(record.id);
    }
  });
  return readiness;
}

function checkOf(state: State, vmId: number): ReturnType<typeof healthCheckType> {
  const record = state.find(vmId);
  if (record === undefined) return null;
  const stored = state.store.config(vmId, record.launchedConfigVersion);
  return stored === undefined ? null : healthCheckType(stored.config.manifest.health_check);
}
