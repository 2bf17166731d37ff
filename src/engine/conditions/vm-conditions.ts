// engine, conditions: the conditions of a VM beside its status: whether it runs, answers, and has the wanted network.
// Pure. How they are observed and where they are stored is not known here.

import { toTimestamp } from '../../lib/clock.ts';
import type { Condition } from '../../schema/condition.ts';
import type { WorkloadVerdict } from '../guests/workload-view.ts';
import type { VmRecord } from '../records.ts';

export type VmConditionType =
  | 'Running'
  | 'ControlConnected'
  | 'HypervisorResponsive'
  | 'AgentResponsive'
  | 'WorkloadRunning'
  | 'NetworkInLine'
  | 'DisksWritable';

/** What was observed of a VM that should run. null: unknown, or not applicable. */
export interface VmObservation {
  /** Why it is unknown whether the hypervisor runs; null if it is known. */
  readonly unknownReason: string | null;
  readonly isConnected: boolean | null;
  readonly hypervisorAnswers: boolean | null;
  /** The state in which the hypervisor has halted its guest, as the hypervisor calls it; null if it has not. */
  readonly halted: string | null;
  readonly agentAnswers: boolean | null;
  readonly workload: WorkloadVerdict | null;
  /** A sentence for each difference; null before the first check. */
  readonly network: readonly string[] | null;
  readonly isDiskFull: boolean;
}

export const NOTHING_OBSERVED: VmObservation = {
  unknownReason: null,
  isConnected: null,
  hypervisorAnswers: null,
  halted: null,
  agentAnswers: null,
  workload: null,
  network: null,
  isDiskFull: false,
};

type State = Omit<Condition, 'since'>;

/** Messages are kept with each VM and shown in lists. */
const MESSAGE_CHARACTERS_MAX = 500;

/** The conditions of a VM whose hypervisor runs. `since` is kept if status and reason did not change. */
export function conditionsOf(
  observation: VmObservation,
  before: readonly Condition[],
  nowMs: number,
): readonly Condition[] {
  const { unknownReason, isConnected, isDiskFull, network } = observation;
  const states = [
    stateOf('Running', unknownReason === null, 'Running', 'CannotBeJudged', unknownReason ?? ''),
    ...(isConnected === null
      ? []
      : [
          stateOf(
            'ControlConnected',
            isConnected,
            'Connected',
            'ConnectionLost',
            'The control socket of the hypervisor cannot be connected to; retries continue',
          ),
        ]),
    ...answersIn(observation),
    ...workloadIn(observation),
    ...(network === null
      ? []
      : [stateOf('NetworkInLine', network.length === 0, 'InLine', 'Differs', network.join('; '))]),
    stateOf(
      'DisksWritable',
      !isDiskFull,
      'Writable',
      'HostDiskFull',
      'The guest is paused until the disk of the host has free space',
    ),
  ];
  return states.map((state) => withSince(state, before, nowMs));
}

function answersIn({ hypervisorAnswers, halted, agentAnswers }: VmObservation): readonly State[] {
  const found: State[] = [];
  if (halted !== null) {
    const message = `The hypervisor has halted its guest: it is ${halted}`;
    found.push(stateOf('HypervisorResponsive', false, '', 'GuestHalted', message));
  } else if (hypervisorAnswers !== null) {
    const message = 'The hypervisor does not answer: it may be frozen, or the host overloaded';
    found.push(
      stateOf('HypervisorResponsive', hypervisorAnswers, 'Answers', 'DoesNotAnswer', message),
    );
  }
  if (agentAnswers !== null) {
    const message = 'The agent in the guest does not answer any more: the guest may hang';
    found.push(stateOf('AgentResponsive', agentAnswers, 'Answers', 'DoesNotAnswer', message));
  }
  return found;
}

function workloadIn({ workload }: VmObservation): readonly State[] {
  if (workload === null) return [];
  const { isRunning, reason, message } = workload;
  return [stateOf('WorkloadRunning', isRunning, reason, reason, message)];
}

/** The condition of a VM whose hypervisor runs, before anything else was observed. */
export function runningCondition(atMs: number): Condition {
  return withSince(stateOf('Running', true, 'Running', '', ''), [], atMs);
}

/** The condition of a VM that has crashed. */
export function crashedCondition(reason: string, message: string, atMs: number): Condition {
  return withSince(stateOf('Running', false, '', reason, message), [], atMs);
}

/**
 * The conditions that are stored: since when the VM runs, and what is wrong. So a daemon that starts later reports a
 * problem only once, and also reports its end.
 */
export function durableOf(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.filter(({ type, status }) => type === 'Running' || !status);
}

/** The changes between two lists: problems that are new, and problems that are over. */
export function changesIn(
  before: readonly Condition[],
  after: readonly Condition[],
): { readonly degraded: readonly Condition[]; readonly repaired: readonly Condition[] } {
  const wrong = (list: readonly Condition[], { type, reason }: Condition) =>
    list.some((one) => one.type === type && !one.status && one.reason === reason);
  const degraded = after.filter((one) => !one.status && !wrong(before, one));
  const repaired = after.filter(
    (one) => one.status && before.some(({ type, status }) => type === one.type && !status),
  );
  return { degraded, repaired };
}

/** The last observation of an earlier daemon, from the stored conditions. */
export function lastObservationOf({
  conditions = [],
}: Pick<VmRecord, 'conditions'>): VmObservation {
  const wrong = (type: VmConditionType) =>
    conditions.find((one) => one.type === type && !one.status);
  const network = wrong('NetworkInLine');
  const workload = wrong('WorkloadRunning');
  return {
    ...NOTHING_OBSERVED,
    isConnected: wrong('ControlConnected') === undefined ? null : false,
    hypervisorAnswers: wrong('HypervisorResponsive') === undefined ? null : false,
    agentAnswers: wrong('AgentResponsive') === undefined ? null : false,
    workload:
      workload === undefined
        ? null
        : { isRunning: false, reason: workload.reason, message: workload.message },
    network: network === undefined ? null : [network.message],
    isDiskFull: wrong('DisksWritable') !== undefined,
  };
}

/** Whether the guest can be assumed to serve. */
export function isResponsive({ hypervisorAnswers, halted, agentAnswers }: VmObservation): boolean {
  return hypervisorAnswers !== false && halted === null && agentAnswers !== false;
}

function stateOf(
  type: VmConditionType,
  status: boolean,
  right: string,
  wrong: string,
  message: string,
): State {
  return status
    ? { type, status, reason: right, message: '' }
    : { type, status, reason: wrong, message: message.slice(0, MESSAGE_CHARACTERS_MAX) };
}

function withSince(state: State, before: readonly Condition[], nowMs: number): Condition {
  const old = before.find(({ type }) => type === state.type);
  const isSame = old?.status === state.status && old.reason === state.reason;
  return { ...state, since: isSame ? old.since : toTimestamp(nowMs) };
}
