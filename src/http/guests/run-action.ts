// http, guests: runs an action of a manifest in a VM. The REST route and the MCP tool format its answer in their own ways.

import { LIMITS } from '../../config/limits.ts';
import type { AgentApi } from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';
import { askGuest } from './ask-guest.ts';

export interface ActionName {
  readonly vmName: string;
  readonly plugin: string;
  readonly action: string;
}

export interface ActionAnswer {
  readonly status: number;
  /** JSON, unless it is empty or a failure. */
  readonly text: string;
  readonly value: unknown;
  readonly isEmpty: boolean;
  /** Why the workload refused; null if it did not. */
  readonly failure: string | null;
}

/**
 * Sends `body` to the workload if the action's method carries a body. Rejects as AgentApi.action does, and with
 * AGENT_UNREACHABLE if there is no answer or it is not JSON. `signal` aborts when the caller no longer waits.
 */
export async function runAction(
  agents: AgentApi,
  { vmName, plugin, action }: ActionName,
  body: unknown,
  signal?: AbortSignal,
): Promise<ActionAnswer> {
  const { agent, method, path, timeoutMs } = agents.action(vmName, plugin, action);
  const { status, text } = await askGuest(agent, {
    method,
    path,
    timeoutMs,
    answerBytesMax: LIMITS.actionAnswerBytesMax,
    ...(['GET', 'HEAD'].includes(method) ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  });
  const value = parsed(text);
  const isEmpty = text.trim() === '' || value === null;
  const failure = status < 300 ? null : (errorIn(value) ?? `The workload answered ${status}`);
  if (failure === null && !isEmpty && value === undefined) {
    throw new VolantError('AGENT_UNREACHABLE', 'The workload did not answer with JSON');
  }
  return { status, text, value, isEmpty, failure };
}

/** undefined if the text is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorIn(value: unknown): string | undefined {
  const error = (value as { error?: unknown } | null | undefined)?.error;
  return typeof error === 'string' ? error : undefined;
}
