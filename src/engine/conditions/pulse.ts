// engine, conditions: asks each hypervisor that runs, and the agent in its guest, whether they still answer. The asking is
// spread over time and bounded for each second, however many VMs there are; one that has not answered is not asked again
// before it does, so that nothing piles up in front of a process that is frozen.

import { LIMITS } from '../../config.ts';
import type { Logger } from '../../lib/log.ts';
import type { AgentConnection, ControlConnection } from '../ports.ts';
import type { LiveVms, RunningVm } from '../vms/live.ts';
import type { ConditionKeeper } from './condition-keeper.ts';

export interface PulseParts {
  readonly live: Pick<LiveVms, 'runningIds' | 'runningVm'>;
  readonly conditions: Pick<ConditionKeeper, 'see' | 'sightOf' | 'prune'>;
  readonly log: Logger;
}

/** States in which a guest does not run and will not go on by itself. A disk that is full is told by itself. */
const HALTED = ['internal-error', 'guest-panicked', 'paused', 'watchdog'];

interface Told<T> {
  readonly late: () => void;
  readonly answered: (answer: T) => void;
  readonly failed: (error: unknown) => void;
}

export class Pulse {
  readonly #parts: PulseParts;
  #timer: NodeJS.Timeout | undefined;
  /** Of this round, those that are still to be asked. */
  #left: number[] = [];
  #perTick = 0;
  #roundEndsAtMs = 0;
  /** Questions that have no answer yet. */
  readonly #asked = new WeakSet<ControlConnection | AgentConnection>();
  /** Agents that were not connected when it was their turn. */
  readonly #missed = new WeakSet<AgentConnection>();

  constructor(parts: PulseParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), LIMITS.pulseTickMs).unref();
  }

  /** Asks nobody any more. */
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
    this.#parts.conditions.prune();
    this.#left = [...this.#parts.live.runningIds()];
    this.#roundEndsAtMs = performance.now() + LIMITS.pulseIntervalMs;
    const ticks = LIMITS.pulseIntervalMs / LIMITS.pulseTickMs;
    this.#perTick = Math.min(Math.ceil(this.#left.length / ticks) || 1, LIMITS.pulsesPerTickMax);
  }

  #ask(vmId: number, vm: RunningVm): void {
    this.#askHypervisor(vmId, vm);
    if (vm.agent !== null) this.#askAgent(vmId, vm, vm.agent);
  }

  #askHypervisor(vmId: number, vm: RunningVm): void {
    const { conditions, live, log } = this.#parts;
    const control = vm.control.current;
    if (control === null) {
      if (vm.control.lostForMs < LIMITS.pulseTimeoutMs) return;
      // What serves through its agent is not frozen.
      const hypervisorAnswers = conditions.sightOf(vmId)?.agentAnswers === true;
      conditions.see(vmId, { isConnected: false, hypervisorAnswers });
      return;
    }
    const isCurrent = () => live.runningVm(vmId) === vm && vm.control.current === control;
    this.#question(control, () => control.pulse(), LIMITS.pulseTimeoutMs, {
      late: () => {
        if (isCurrent()) conditions.see(vmId, { hypervisorAnswers: false });
      },
      answered: (status) => {
        const halted = HALTED.includes(status) ? status : null;
        if (isCurrent()) {
          conditions.see(vmId, { isConnected: true, hypervisorAnswers: true, halted });
        }
      },
      // The connection is made again, and then it is asked again.
      failed: (error) => log.debug({ id: vmId, err: error }, 'a hypervisor was lost while asked'),
    });
  }

  #askAgent(vmId: number, vm: RunningVm, agent: AgentConnection): void {
    const { conditions, live, log } = this.#parts;
    const isSilent = () => conditions.sightOf(vmId)?.hypervisorAnswers === false;
    const see = (agentAnswers: boolean) => {
      if (live.runningVm(vmId) === vm && vm.agent === agent) conditions.see(vmId, { agentAnswers });
    };
    // Behind a hypervisor that is frozen it cannot answer, which is told already.
    if (isSilent()) return;
    if (!agent.connected) {
      // One that was never heard of boots, or is none; one that was lost a moment ago is connected to again.
      const wasHeard = (conditions.sightOf(vmId)?.agentAnswers ?? null) !== null;
      if (wasHeard && this.#missed.has(agent)) see(false);
      this.#missed.add(agent);
      return;
    }
    this.#missed.delete(agent);
    this.#question(agent, () => agent.pulse(), LIMITS.agentPulseTimeoutMs, {
      late: () => {
        if (!isSilent()) see(false);
      },
      answered: () => see(true),
      failed: (error) => log.debug({ id: vmId, err: error }, 'an agent was lost while asked'),
    });
  }

  /** Asks once at a time. An answer that comes late still counts. */
  #question<T>(
    whom: ControlConnection | AgentConnection,
    ask: () => Promise<T>,
    timeoutMs: number,
    tell: Told<T>,
  ): void {
    if (this.#asked.has(whom)) return;
    this.#asked.add(whom);
    let isOver = false;
    const timer = setTimeout(() => {
      // Where this thread was late, the answer has come, and is read first.
      setImmediate(() => {
        if (!isOver) tell.late();
      });
    }, timeoutMs).unref();
    const end = () => {
      isOver = true;
      clearTimeout(timer);
      this.#asked.delete(whom);
    };
    ask().then(
      (answer) => {
        end();
        tell.answered(answer);
      },
      (error: unknown) => {
        end();
        tell.failed(error);
      },
    );
  }
}
