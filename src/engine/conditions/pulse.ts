// engine, conditions: health checks of running VMs. Asks each hypervisor and each agent periodically whether it still
// answers. Checks are spread over time and bounded per second, however many VMs there are. A check that has no answer
// yet is not repeated, so nothing piles up in front of a frozen process.

import type { Limits } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { RunningGuest, RunningGuests } from '../guests/running-guests.ts';
import type { AgentConnection, ControlConnection } from '../ports/hypervisor-ports.ts';
import type { ConditionKeeper } from './condition-keeper.ts';

export interface PulseParts {
  readonly live: RunningGuests;
  readonly conditions: Pick<ConditionKeeper, 'observe' | 'observationOf' | 'prune'>;
  readonly limits: Pick<
    Limits,
    | 'pulseTickMs'
    | 'pulseIntervalMs'
    | 'pulsesPerTickMax'
    | 'pulseTimeoutMs'
    | 'agentPulseTimeoutMs'
  >;
  readonly log: Logger;
}

/**
 * Hypervisor states in which the guest does not run and does not resume by itself. A full disk is a condition of its
 * own.
 */
const HALTED = ['internal-error', 'guest-panicked', 'paused', 'watchdog'];

interface ProbeHandlers<T> {
  readonly late: () => void;
  readonly answered: (answer: T) => void;
  readonly failed: (error: unknown) => void;
}

export class Pulse {
  readonly #parts: PulseParts;
  #timer: NodeJS.Timeout | undefined;
  /** VMs that this round has still to ask. */
  #left: number[] = [];
  #perTick = 0;
  #roundEndsAtMs = 0;
  /** Connections with an unanswered check. */
  readonly #asked = new WeakSet<ControlConnection | AgentConnection>();
  /** Agents that were not connected at their last check. */
  readonly #missed = new WeakSet<AgentConnection>();

  constructor(parts: PulseParts) {
    this.#parts = parts;
  }

  /** Begins the periodic checks. */
  start(): void {
    this.#timer = setInterval(() => this.#tick(), this.#parts.limits.pulseTickMs).unref();
  }

  /** Ends the checks. */
  close(): void {
    clearInterval(this.#timer);
    this.#left = [];
  }

  #tick(): void {
    if (this.#left.length === 0) {
      if (performance.now() < this.#roundEndsAtMs) return;
      this.#beginRound();
    }
    for (const vmId of this.#left.splice(-this.#perTick)) {
      const vm = this.#parts.live.runningVm(vmId);
      if (vm !== undefined) this.#ask(vmId, vm);
    }
  }

  #beginRound(): void {
    const { limits } = this.#parts;
    this.#parts.conditions.prune();
    this.#left = [...this.#parts.live.runningIds()];
    this.#roundEndsAtMs = performance.now() + limits.pulseIntervalMs;
    const ticks = limits.pulseIntervalMs / limits.pulseTickMs;
    this.#perTick = Math.min(Math.ceil(this.#left.length / ticks) || 1, limits.pulsesPerTickMax);
  }

  #ask(vmId: number, vm: RunningGuest): void {
    this.#askHypervisor(vmId, vm);
    if (vm.agent !== null) this.#askAgent(vmId, vm, vm.agent);
  }

  #askHypervisor(vmId: number, vm: RunningGuest): void {
    const { conditions, live, log } = this.#parts;
    const control = vm.control.current;
    if (control === null) {
      if (vm.control.lostForMs < this.#parts.limits.pulseTimeoutMs) return;
      // A guest whose agent answers runs, so its hypervisor is not frozen.
      const hypervisorAnswers = conditions.observationOf(vmId)?.agentAnswers === true;
      conditions.observe(vmId, { isConnected: false, hypervisorAnswers });
      return;
    }
    const isCurrent = () => live.runningVm(vmId) === vm && vm.control.current === control;
    this.#probe(control, () => control.pulse(), this.#parts.limits.pulseTimeoutMs, {
      late: () => {
        if (isCurrent()) conditions.observe(vmId, { hypervisorAnswers: false });
      },
      answered: (status) => {
        const halted = HALTED.includes(status) ? status : null;
        if (isCurrent()) {
          conditions.observe(vmId, { isConnected: true, hypervisorAnswers: true, halted });
        }
      },
      // A lost connection is made again and then checked again.
      failed: (error) => log.debug({ id: vmId, err: error }, 'a hypervisor was lost while asked'),
    });
  }

  #askAgent(vmId: number, vm: RunningGuest, agent: AgentConnection): void {
    const { conditions, live, log } = this.#parts;
    const isSilent = () => conditions.observationOf(vmId)?.hypervisorAnswers === false;
    const observe = (agentAnswers: boolean) => {
      if (live.runningVm(vmId) === vm && vm.agent === agent)
        conditions.observe(vmId, { agentAnswers });
    };
    // An agent cannot answer while its hypervisor is frozen, which is reported already.
    if (isSilent()) return;
    if (!agent.connected) {
      // An agent that has never answered is booting or does not exist. One that was lost a moment ago gets time to
      // reconnect.
      const wasHeard = (conditions.observationOf(vmId)?.agentAnswers ?? null) !== null;
      if (wasHeard && this.#missed.has(agent)) observe(false);
      this.#missed.add(agent);
      return;
    }
    this.#missed.delete(agent);
    this.#probe(agent, () => agent.pulse(), this.#parts.limits.agentPulseTimeoutMs, {
      late: () => {
        if (!isSilent()) observe(false);
      },
      answered: () => observe(true),
      failed: (error) => log.debug({ id: vmId, err: error }, 'an agent was lost while asked'),
    });
  }

  /** Sends one check at a time to a connection. A late answer still counts. */
  #probe<T>(
    connection: ControlConnection | AgentConnection,
    ask: () => Promise<T>,
    timeoutMs: number,
    handlers: ProbeHandlers<T>,
  ): void {
    if (this.#asked.has(connection)) return;
    this.#asked.add(connection);
    let isOver = false;
    const timer = setTimeout(() => {
      // If this thread was late, the answer is in its queue already and is read first.
      setImmediate(() => {
        if (!isOver) handlers.late();
      });
    }, timeoutMs).unref();
    const end = () => {
      isOver = true;
      clearTimeout(timer);
      this.#asked.delete(connection);
    };
    ask().then(
      (answer) => {
        end();
        handlers.answered(answer);
      },
      (error: unknown) => {
        end();
        handlers.failed(error);
      },
    );
  }
}
