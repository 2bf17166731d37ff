// engine, guests: the readiness of VMs. A VM is ready if its health check passes; without a check in the manifest, if
// its port listens. Only watched VMs are polled, frequently at first and rarely later.

import type { Limits } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';

export interface ReadinessParts {
  /** The agent of a running VM; undefined if the VM does not run, null if it has no agent. */
  readonly agentOf: (vmId: number) => AgentConnection | null | undefined;
  /** The guest has booted, or is not waited for any longer. */
  readonly hasBooted: (vmId: number) => boolean;
  /** The health check of the VM's manifest; `none` turns checks off, null means that the manifest has none. */
  readonly checkOf: (vmId: number) => 'http' | 'tcp' | 'exec' | 'none' | null;
  /** false for a VM that was asked and does not answer. */
  readonly isResponsive: (vmId: number) => boolean;
  /** For how many ms the VM has not answered. */
  readonly silentForMs: (vmId: number) => number;
  readonly limits: Pick<
    Limits,
    | 'readinessTrustMs'
    | 'readinessPauseMinMs'
    | 'readinessPauseMaxMs'
    | 'readinessPauseWaitingMs'
    | 'readinessTimeoutMs'
    | 'replicaSilentMs'
  >;
  readonly log: Logger;
}

interface Watch {
  interested: number;
  ready: boolean;
  /** The VM stays ready until then without an answer, because it was ready for an earlier daemon. */
  trustedUntilMs: number;
  pauseMs: number;
  ended: boolean;
  /** Raised when the VM changes, so that answers to earlier requests are ignored. */
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
   * Polls a VM until the returned function is called. With `wasReady` the VM counts as ready until its first answer.
   */
  watch(vmId: number, wasReady = false): () => void {
    let watch = this.#watches.get(vmId);
    if (watch === undefined) {
      watch = {
        interested: 0,
        ready: wasReady,
        trustedUntilMs: wasReady ? performance.now() + this.#parts.limits.readinessTrustMs : 0,
        pauseMs: this.#parts.limits.readinessPauseMinMs,
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

  /** The result of the last poll; false for a VM that is not watched. */
  isReady(vmId: number): boolean {
    return this.#watches.get(vmId)?.ready ?? false;
  }

  /** Resets a VM whose status has changed, and polls it. */
  changed(vmId: number): void {
    const watch = this.#watches.get(vmId);
    if (watch === undefined) return;
    clearTimeout(watch.timer);
    watch.epoch += 1;
    watch.ready = false;
    watch.trustedUntilMs = 0;
    watch.pauseMs = this.#parts.limits.readinessPauseMinMs;
    void this.#ask(vmId, watch);
  }

  /** true for a running VM that has not answered within the limit, and should be replaced. */
  isLost(vmId: number): boolean {
    return this.#parts.silentForMs(vmId) >= this.#parts.limits.replicaSilentMs;
  }

  /** Polls a VM at once. Its last result still counts. */
  recheck(vmId: number): void {
    const watch = this.#watches.get(vmId);
    if (watch === undefined) return;
    clearTimeout(watch.timer);
    watch.epoch += 1;
    void this.#ask(vmId, watch);
  }

  /** Calls the listener when a watched VM becomes ready or unready. Returns a function that unsubscribes. */
  subscribe(listener: (vmId: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends all watches. */
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
        ? this.#parts.limits.readinessPauseMaxMs
        : Math.min(watch.pauseMs * 2, this.#parts.limits.readinessPauseWaitingMs);
    watch.timer = setTimeout(() => void this.#ask(vmId, watch), watch.pauseMs).unref();
    if (changed) for (const listener of this.#listeners) listener(vmId);
  }

  /** null if the agent does not answer. */
  async #find(vmId: number): Promise<boolean | null> {
    const agent = this.#parts.agentOf(vmId);
    if (agent === undefined) return null;
    if (!this.#parts.isResponsive(vmId)) return false;
    if (agent === null) return true;
    const check = this.#parts.checkOf(vmId);
    const hasBooted = this.#parts.hasBooted(vmId) ? true : null;
    if (check === 'none') return hasBooted;
    // A guest whose agent has never answered may have none. Without a check, nothing more can be known about it.
    if (!agent.connected) return check === null && !agent.wasConnected ? hasBooted : null;
    try {
      const health = await agent.health(AbortSignal.timeout(this.#parts.limits.readinessTimeoutMs));
      // Without a check in the manifest its port must listen, if the agent supports that.
      const isUnchecked = check === null && (health.check === '' || health.check === 'none');
      return isUnchecked ? hasBooted : health.healthy === true;
    } catch (error) {
      this.#parts.log.debug({ id: vmId, err: error }, 'an agent did not report its health');
      return null;
    }
  }

  #end(vmId: number, watch: Watch): void {
    clearTimeout(watch.timer);
    watch.ended = true;
    this.#watches.delete(vmId);
  }
}
