// engine, guests: follows the workloads of guests. An agent signals changes and is then asked for the details. Agents
// of older images do not signal, so they are polled for a while after each boot, and as long as there is a problem. The
// results are passed on; nothing is decided here.

import type { Limits } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { AgentConnection, WorkloadHealth } from '../ports/hypervisor-ports.ts';
import { workloadProblem } from './workload-view.ts';

export interface WorkloadFollowerParts {
  /** The agent of a running VM; undefined if the VM does not run, null if it has no agent. */
  readonly agentOf: (vmId: number) => AgentConnection | null | undefined;
  /** Called with each change; null if the guest has ended. */
  readonly report: (vmId: number, workload: WorkloadHealth | null) => void;
  readonly limits: Limits;
  readonly log: Logger;
}

interface Followed {
  reported: WorkloadHealth | null;
  pauseMs: number;
  untilMs: number;
  askedAtMs: number;
  /** The agent has signalled a change since it was asked. */
  hasChanged: boolean;
  isAsking: boolean;
  timer: NodeJS.Timeout | undefined;
}

export class WorkloadFollower {
  readonly #parts: WorkloadFollowerParts;
  readonly #followed = new Map<number, Followed>();

  constructor(parts: WorkloadFollowerParts) {
    this.#parts = parts;
  }

  /** Follows the workload of a guest that has booted, or was found to be up. */
  begin(vmId: number): void {
    const before = this.#followed.get(vmId);
    clearTimeout(before?.timer);
    const follow: Followed = {
      reported: before?.reported ?? null,
      pauseMs: this.#parts.limits.workloadPauseMinMs,
      untilMs: performance.now() + this.#parts.limits.workloadFollowMs,
      askedAtMs: Number.NEGATIVE_INFINITY,
      hasChanged: false,
      isAsking: false,
      timer: undefined,
    };
    this.#followed.set(vmId, follow);
    this.#parts.agentOf(vmId)?.onChange(() => this.#hasChanged(vmId, follow));
    this.#later(vmId, follow);
  }

  /** Ends this when the guest has ended. */
  end(vmId: number): void {
    const follow = this.#followed.get(vmId);
    if (follow === undefined) return;
    clearTimeout(follow.timer);
    this.#followed.delete(vmId);
    if (follow.reported !== null) this.#parts.report(vmId, null);
  }

  close(): void {
    for (const { timer } of this.#followed.values()) clearTimeout(timer);
    this.#followed.clear();
  }

  /** Asks the agent about a change, at most once per LIMITS.workloadChangeMinMs. */
  #hasChanged(vmId: number, follow: Followed): void {
    follow.hasChanged = true;
    if (follow.isAsking || this.#followed.get(vmId) !== follow) return;
    const passedMs = performance.now() - follow.askedAtMs;
    this.#askIn(vmId, follow, Math.max(0, this.#parts.limits.workloadChangeMinMs - passedMs));
  }

  #later(vmId: number, follow: Followed): void {
    this.#askIn(vmId, follow, follow.pauseMs);
    follow.pauseMs = Math.min(follow.pauseMs * 2, this.#parts.limits.readinessPauseMaxMs);
  }

  #askIn(vmId: number, follow: Followed, delayMs: number): void {
    clearTimeout(follow.timer);
    follow.timer = setTimeout(() => void this.#ask(vmId, follow), delayMs).unref();
  }

  async #ask(vmId: number, follow: Followed): Promise<void> {
    follow.askedAtMs = performance.now();
    follow.hasChanged = false;
    follow.isAsking = true;
    const agent = this.#parts.agentOf(vmId);
    const health = agent?.connected ? await this.#healthOf(vmId, agent) : null;
    follow.isAsking = false;
    if (this.#followed.get(vmId) !== follow) return;
    if (!agent) return this.end(vmId);
    if (health !== null) this.#report(vmId, follow, health);
    const isFine = follow.reported === null || workloadProblem(follow.reported) === null;
    if (follow.hasChanged) this.#hasChanged(vmId, follow);
    else if (!isFine || performance.now() <= follow.untilMs) this.#later(vmId, follow);
  }

  /** null if the agent does not answer. */
  async #healthOf(vmId: number, agent: AgentConnection): Promise<WorkloadHealth | null> {
    try {
      return await agent.health(AbortSignal.timeout(this.#parts.limits.readinessTimeoutMs));
    } catch (error) {
      this.#parts.log.debug({ id: vmId, err: error }, 'an agent did not report its workload');
      return null;
    }
  }

  #report(vmId: number, follow: Followed, workload: WorkloadHealth): void {
    if (JSON.stringify(workload) === JSON.stringify(follow.reported)) return;
    const before = follow.reported && workloadProblem(follow.reported);
    const problem = workloadProblem(workload);
    follow.reported = workload;
    this.#parts.report(vmId, workload);
    if (problem === null || problem === before) return;
    this.#parts.log.info({ id: vmId, problem }, 'a workload has a problem');
  }
}
