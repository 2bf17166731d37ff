// engine: what agents tell of their workloads. An agent says when something has changed, and is asked then; those of older
// images say nothing, and are asked for a while after each boot and as long as something is wrong. What follows is told to
// whoever keeps it; nothing is done about it here.

import { LIMITS } from '../config.ts';
import type { Logger } from '../lib/log.ts';
import type { AgentConnection, WorkloadHealth } from './ports.ts';
import { workloadTrouble } from './workload-view.ts';

export interface WorkloadNewsParts {
  /** The agent of a VM that runs; undefined when it does not run, null where there is no agent. */
  readonly agentOf: (vmId: number) => AgentConnection | null | undefined;
  /** Called with each change; null: the guest has ended, and what was told of it counts no more. */
  readonly tell: (vmId: number, workload: WorkloadHealth | null) => void;
  readonly log: Logger;
}

interface Look {
  told: WorkloadHealth | null;
  pauseMs: number;
  untilMs: number;
  askedAtMs: number;
  /** Something has changed since it was asked. */
  hasNews: boolean;
  isAsking: boolean;
  timer: NodeJS.Timeout | undefined;
}

export class WorkloadNews {
  readonly #parts: WorkloadNewsParts;
  readonly #looks = new Map<number, Look>();

  constructor(parts: WorkloadNewsParts) {
    this.#parts = parts;
  }

  /** A guest has come up, or was found to be up: its workload is looked after from now on. */
  begin(vmId: number): void {
    const before = this.#looks.get(vmId);
    clearTimeout(before?.timer);
    const look: Look = {
      told: before?.told ?? null,
      pauseMs: LIMITS.workloadPauseMinMs,
      untilMs: performance.now() + LIMITS.workloadLookMs,
      askedAtMs: Number.NEGATIVE_INFINITY,
      hasNews: false,
      isAsking: false,
      timer: undefined,
    };
    this.#looks.set(vmId, look);
    this.#parts.agentOf(vmId)?.onNews(() => this.#hasNews(vmId, look));
    this.#later(vmId, look);
  }

  /** The guest has ended. */
  end(vmId: number): void {
    const look = this.#looks.get(vmId);
    if (look === undefined) return;
    clearTimeout(look.timer);
    this.#looks.delete(vmId);
    if (look.told !== null) this.#parts.tell(vmId, null);
  }

  close(): void {
    for (const { timer } of this.#looks.values()) clearTimeout(timer);
    this.#looks.clear();
  }

  /** However often a guest says so, its agent is asked at most so often. */
  #hasNews(vmId: number, look: Look): void {
    look.hasNews = true;
    if (look.isAsking || this.#looks.get(vmId) !== look) return;
    const passedMs = performance.now() - look.askedAtMs;
    this.#askIn(vmId, look, Math.max(0, LIMITS.workloadNewsMinMs - passedMs));
  }

  #later(vmId: number, look: Look): void {
    this.#askIn(vmId, look, look.pauseMs);
    look.pauseMs = Math.min(look.pauseMs * 2, LIMITS.readinessPauseMaxMs);
  }

  #askIn(vmId: number, look: Look, delayMs: number): void {
    clearTimeout(look.timer);
    look.timer = setTimeout(() => void this.#ask(vmId, look), delayMs).unref();
  }

  async #ask(vmId: number, look: Look): Promise<void> {
    look.askedAtMs = performance.now();
    look.hasNews = false;
    look.isAsking = true;
    const agent = this.#parts.agentOf(vmId);
    const health = agent?.connected ? await this.#healthOf(vmId, agent) : null;
    look.isAsking = false;
    if (this.#looks.get(vmId) !== look) return;
    if (!agent) return this.end(vmId);
    if (health !== null) this.#tell(vmId, look, health);
    const isFine = look.told === null || workloadTrouble(look.told) === null;
    if (look.hasNews) this.#hasNews(vmId, look);
    else if (!isFine || performance.now() <= look.untilMs) this.#later(vmId, look);
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

  #tell(vmId: number, look: Look, workload: WorkloadHealth): void {
    if (JSON.stringify(workload) === JSON.stringify(look.told)) return;
    const before = look.told && workloadTrouble(look.told);
    const trouble = workloadTrouble(workload);
    look.told = workload;
    this.#parts.tell(vmId, workload);
    if (trouble === null || trouble === before) return;
    this.#parts.log.info({ id: vmId, trouble }, 'a workload is in trouble');
  }
}
