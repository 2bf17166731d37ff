// engine: which VMs are ready: their health check passes; where the manifest has none, their port listens. Agents
// are asked only about VMs that somebody is interested in, often at first and seldom later.

import { LIMITS } from '../config.ts';
import type { Logger } from '../lib/log.ts';
import type { AgentConnection } from './ports.ts';

export interface ReadinessParts {
  /** The agent of a VM that runs; undefined when it does not run, null where there is no agent. */
  readonly agentOf: (vmId: number) => AgentConnection | null | undefined;
  /** The guest has come up, or is not waited for any longer. */
  readonly hasBooted: (vmId: number) => boolean;
  /** What the VM's manifest says: how its workload is checked; `none`: not at all; null: nothing. */
  readonly checkOf: (vmId: number) => 'http' | 'tcp' | 'exec' | 'none' | null;
  /** false for one that was asked and does not answer. */
  readonly isResponsive: (vmId: number) => boolean;
  /** For how long it has not answered. */
  readonly silentForMs: (vmId: number) => number;
  readonly log: Logger;
}

interface Watch {
  interested: number;
  ready: boolean;
  /** Until then it stays ready while nobody answers: so it was when an earlier daemon ran. */
  trustedUntilMs: number;
  pauseMs: number;
  ended: boolean;
  /** Raised when the VM changes: an answer that was asked for before counts no more. */
  epoch: number;
  timer: NodeJS.Timeout | undefined;
}

export class Readiness {
  readonly #parts: ReadinessParts;
  readonly #watches = new Map<number, Watch>();
  readonly #listeners = new Set<(vmId: number) => void>();

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /**
   * Asks about a VM until the returned function is called. One that was ready for an earlier daemon is so
   * until its first answer.
   */
  watch(vmId: number, wasReady = false): () => void {
    let watch = this.#watches.get(vmId);
    if (watch === undefined) {
      watch = {
        interested: 0,
        ready: wasReady,
        trustedUntilMs: wasReady ? performance.now() + LIMITS.readinessTrustMs : 0,
        pauseMs: LIMITS.readinessPauseMinMs,
        ended: false,
        epoch: 0,
        timer: undefined,
      };
      this.#watches.set(vmId, watch);
      void this.#ask(vmId, watch);
    }
    watch.interested += 1;
    const watched = watch;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      watched.interested -= 1;
      if (watched.interested === 0) this.#end(vmId, watched);
    };
  }

  /** As it was when it was asked last. false for a VM that nobody watches. */
  isReady(vmId: number): boolean {
    return this.#watches.get(vmId)?.ready ?? false;
  }

  /** The VM's status has changed: what was known counts no more. */
  changed(vmId: number): void {
    const watch = this.#watches.get(vmId);
    if (watch === undefined) return;
    clearTimeout(watch.timer);
    watch.epoch += 1;
    watch.ready = false;
    watch.trustedUntilMs = 0;
    watch.pauseMs = LIMITS.readinessPauseMinMs;
    void this.#ask(vmId, watch);
  }

  /** true for a VM that runs and has not answered for so long that another one should take its place. */
  isLost(vmId: number): boolean {
    return this.#parts.silentForMs(vmId) >= LIMITS.replicaSilentMs;
  }

  /** Something was seen of the VM: what was known still counts, and it is asked at once. */
  recheck(vmId: number): void {
    const watch = this.#watches.get(vmId);
    if (watch === undefined) return;
    clearTimeout(watch.timer);
    watch.epoch += 1;
    void this.#ask(vmId, watch);
  }

  /** Calls back when a watched VM has become ready, or is so no more. Returns the undo. */
  subscribe(listener: (vmId: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    for (const [vmId, watch] of this.#watches) this.#end(vmId, watch);
  }

  async #ask(vmId: number, watch: Watch): Promise<void> {
    const { epoch } = watch;
    const answer = await this.#find(vmId);
    if (watch.ended || watch.epoch !== epoch) return;
    if (answer !== null) watch.trustedUntilMs = 0;
    const ready = answer ?? performance.now() < watch.trustedUntilMs;
    const changed = ready !== watch.ready;
    watch.ready = ready;
    watch.pauseMs =
      ready && answer !== null
        ? LIMITS.readinessPauseMaxMs
        : Math.min(watch.pauseMs * 2, LIMITS.readinessPauseWaitingMs);
    watch.timer = setTimeout(() => void this.#ask(vmId, watch), watch.pauseMs).unref();
    if (changed) for (const listener of this.#listeners) listener(vmId);
  }

  /** null when nobody answers. */
  async #find(vmId: number): Promise<boolean | null> {
    const agent = this.#parts.agentOf(vmId);
    if (agent === undefined) return null;
    if (!this.#parts.isResponsive(vmId)) return false;
    if (agent === null) return true;
    const check = this.#parts.checkOf(vmId);
    const hasBooted = this.#parts.hasBooted(vmId) ? true : null;
    if (check === 'none') return hasBooted;
    // A guest that was not heard of may have no agent: without a check nothing more is to be known of it.
    if (!agent.connected) return check === null && !agent.wasConnected ? hasBooted : null;
    try {
      const health = await agent.health(AbortSignal.timeout(LIMITS.readinessTimeoutMs));
      // Where the manifest says nothing its port must listen, if the agent is one that looks.
      const isUnchecked = check === null && (health.check === '' || health.check === 'none');
      return isUnchecked ? hasBooted : health.healthy === true;
    } catch (error) {
      this.#parts.log.debug({ id: vmId, err: error }, 'an agent did not tell its health');
      return null;
    }
  }

  #end(vmId: number, watch: Watch): void {
    clearTimeout(watch.timer);
    watch.ended = true;
    this.#watches.delete(vmId);
  }
}
