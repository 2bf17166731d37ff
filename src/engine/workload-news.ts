// engine: what is wrong with a workload whose guest has come up, as its agent tells it: asked for a while after each
// boot, and as long as something is wrong. It is the VM's status_reason; nothing is done about it here.

import { LIMITS } from '../config.ts';
import type { Logger } from '../lib/log.ts';
import type { AgentConnection, WorkloadHealth } from './ports.ts';

export interface WorkloadNewsParts {
  /** The agent of a VM that runs; undefined when it does not run, null where there is no agent. */
  readonly agentOf: (vmId: number) => AgentConnection | null | undefined;
  readonly explain: (vmId: number, reason: string | null) => void;
  readonly log: Logger;
}

interface Look {
  /** Of the VM's body; null while there is nothing to tell. */
  told: string | null;
  pauseMs: number;
  untilMs: number;
  timer: NodeJS.Timeout | undefined;
}

export class WorkloadNews {
  readonly #parts: WorkloadNewsParts;
  readonly #looks = new Map<number, Look>();

  constructor(parts: WorkloadNewsParts) {
    this.#parts = parts;
  }

  /** A guest has come up: its workload begins now. */
  begin(vmId: number): void {
    const before = this.#looks.get(vmId);
    clearTimeout(before?.timer);
    const look: Look = {
      told: before?.told ?? null,
      pauseMs: LIMITS.workloadPauseMinMs,
      untilMs: performance.now() + LIMITS.workloadLookMs,
      timer: undefined,
    };
    this.#looks.set(vmId, look);
    this.#later(vmId, look);
  }

  close(): void {
    for (const { timer } of this.#looks.values()) clearTimeout(timer);
    this.#looks.clear();
  }

  #later(vmId: number, look: Look): void {
    look.timer = setTimeout(() => void this.#ask(vmId, look), look.pauseMs).unref();
    look.pauseMs = Math.min(look.pauseMs * 2, LIMITS.readinessPauseMaxMs);
  }

  async #ask(vmId: number, look: Look): Promise<void> {
    const agent = this.#parts.agentOf(vmId);
    const health = agent?.connected ? await this.#healthOf(vmId, agent) : null;
    if (this.#looks.get(vmId) !== look) return;
    // Whatever was told of a guest that has ended is over.
    if (health !== null || !agent) this.#tell(vmId, look, health && workloadTrouble(health));
    const isOver = !agent || (look.told === null && performance.now() > look.untilMs);
    if (isOver) this.#looks.delete(vmId);
    else this.#later(vmId, look);
  }

  /** null when it does not answer. */
  async #healthOf(vmId: number, agent: AgentConnection): Promise<WorkloadHealth | null> {
    try {
      return await agent.health(AbortSignal.timeout(LIMITS.readinessTimeoutMs));
    } catch (error) {
      this.#parts.log.debug({ id: vmId, err: error }, 'an agent did not tell of its workload');
      return null;
    }
  }

  #tell(vmId: number, look: Look, trouble: string | null): void {
    if (trouble === look.told) return;
    look.told = trouble;
    this.#parts.explain(vmId, trouble);
    if (trouble !== null) this.#parts.log.info({ id: vmId, trouble }, 'a workload is in trouble');
  }
}

/** A sentence for a person; null when the workload is as it should be, as far as its agent knows. Pure. */
export function workloadTrouble({
  state,
  restarts,
  lastExit,
  reason,
}: WorkloadHealth): string | null {
  if (state === 'failed') return `The workload cannot run: ${reason || lastExit}`;
  if (reason === '') return null;
  return restarts > 0
    ? `The workload was started again ${restarts} times: ${reason}`
    : `The workload: ${reason}`;
}
