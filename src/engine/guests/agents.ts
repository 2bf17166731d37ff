// engine, guests: access to guests: which agent can be asked, and how an action of a manifest is called. What is sent
// to an agent is up to the caller.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Manifest } from '../../schema/manifest.ts';
import type { ActionCall, AgentApi } from '../engine-api.ts';
import type { Plugins } from '../plugins/plugins.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { stateConflict } from '../vm-record/status.ts';
import type { RunningGuests } from './running-guests.ts';

/** The agent relays everything below this path to the workload. */
const RELAY_PREFIX = '/v1';

export interface AgentsParts {
  readonly state: State;
  readonly live: Pick<RunningGuests, 'runningVm'>;
  readonly plugins: Pick<Plugins, 'isDisabled'>;
}

export class Agents implements AgentApi {
  readonly #parts: AgentsParts;

  constructor(parts: AgentsParts) {
    this.#parts = parts;
  }

  connection(vmName: string): AgentConnection {
    return this.#connectionTo(this.#parts.state.require(vmName));
  }

  action(vmName: string, plugin: string, name: string): ActionCall {
    const { state, plugins } = this.#parts;
    const record = state.require(vmName);
    const known = plugin === record.plugin ? this.#actionsOf(record) : {};
    const action = Object.hasOwn(known, name) ? known[name] : undefined;
    if (action === undefined) {
      const why = `VM ${vmName} has no action ${name} of a plugin ${plugin}`;
      throw new VolantError('ACTION_NOT_FOUND', why);
    }
    if (plugins.isDisabled(plugin)) {
      throw new VolantError('PLUGIN_DISABLED', `Plugin ${plugin} is disabled`);
    }
    const path = action.path ?? '/';
    const isBelow = path === RELAY_PREFIX || path.startsWith(`${RELAY_PREFIX}/`);
    return {
      agent: this.#connectionTo(record),
      method: action.method?.toUpperCase() || 'POST',
      path: isBelow ? path : `${RELAY_PREFIX}${path}`,
      timeoutMs: Math.min(action.timeout_ms || LIMITS.actionTimeoutMs, LIMITS.actionTimeoutMaxMs),
    };
  }

  workloadUrl(vmName: string): string | null {
    const record = this.#parts.state.vms.recordByName(vmName);
    return record === undefined ? null : this.#manifestOf(record)?.workload.base_url || null;
  }

  #actionsOf(record: VmRecord) {
    return this.#manifestOf(record)?.actions ?? {};
  }

  /** The manifest of the config that the guest was launched with, which its workload knows. */
  #manifestOf({ id, launchedConfigVersion }: VmRecord): Manifest | undefined {
    return this.#parts.state.store.config(id, launchedConfigVersion)?.config.manifest;
  }

  #connectionTo({ id, name, status }: VmRecord): AgentConnection {
    if (status !== 'running') throw stateConflict(name, status, 'has no agent to talk to');
    const agent = this.#parts.live.runningVm(id)?.agent ?? null;
    if (agent === null) {
      throw new VolantError('AGENT_UNREACHABLE', `VM ${name} has no agent`);
    }
    if (!agent.connected) {
      const why = `The agent of VM ${name} does not answer, or not yet`;
      throw new VolantError('AGENT_UNREACHABLE', why, { retryAfterSeconds: 1 });
    }
    return agent;
  }
}
