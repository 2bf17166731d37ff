// engine, conditions: what is said of a VM beside its status: does it run, does it answer, is its network in line. Pure:
// how that is found out and where it is written down is not known here.

import { toTimestamp } from '../../lib/clock.ts';
import type { Condition } from '../../schema/condition.ts';
import type { VmRecord } from '../records.ts';
import type { WorkloadVerdict } from '../workload-view.ts';

export type VmConditionType =
  | 'Running'
  | 'ControlConnected'
  | 'HypervisorResponsive'
  | 'AgentResponsive'
  | 'WorkloadRunning'
  | 'NetworkInLine'
  | 'DisksWritable';

/** What was seen of a VM that should run. null: it is not known, or does not apply. */
export interface VmSight {
  /** Why it cannot be said whether its hypervisor lives; null: it can. */
  readonly unjudged: string | null;
  readonly isConnected: boolean | null;
  readonly hypervisorAnswers: boolean | null;
  /** The state in which the hypervisor has halted its guest, in its words; null: it has not. */
  readonly halted: string | null;
  readonly agentAnswers: boolean | null;
  readonly workload: WorkloadVerdict | null;
  /** A sentence for each thing that differs; null: nobody has looked. */
  readonly network: readonly string[] | null;
  readonly isDiskFull: boolean;
}

export const UNSEEN: VmSight = {
  unjudged: null,
  isConnected: null,
  hypervisorAnswers: null,
  halted: null,
  agentAnswers: null,
  workload: null,
  network: null,
  isDiskFull: false,
};

type State = Omit<Condition, 'since'>;

/** Longest message, for it is kept with each VM and shown in lists. */
const MESSAGE_CHARACTERS_MAX = 500;

/** Of a VM whose hypervisor runs. `since` is kept where status and reason are as before. */
export function conditionsOf(
  sight: VmSight,
  before: readonly Condition[],
  nowMs: number,
): readonly Condition[] {
  const { unjudged, isConnected, isDiskFull, network } = sight;
  const states = [
    stateOf('Running', unjudged === null, 'Running', 'CannotBeJudged', unjudged ?? ''),
    ...(isConnected === null
      ? []
      : [
          stateOf(
            'ControlConnected',
            isConnected,
            'Connected',
            'ConnectionLost',
            'The control socket of the hypervisor cannot be connected to; it is tried again and again',
          ),
        ]),
    ...answersIn(sight),
    ...workloadIn(sight),
    ...(network === null
      ? []
      : [stateOf('NetworkInLine', network.length === 0, 'InLine', 'Differs', network.join('; '))]),
    stateOf(
      'DisksWritable',
      !isDiskFull,
      'Writable',
      'HostDiskFull',
      'The guest is paused until there is room on the disk of the host',
    ),
  ];
  return states.map((state) => withSince(state, before, nowMs));
}

function answersIn({ hypervisorAnswers, halted, agentAnswers }: VmSight): readonly State[] {
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

function workloadIn({ workload }: VmSight): readonly State[] {
  if (workload === null) return [];
  const { isRunning, reason, message } = workload;
  return [stateOf('WorkloadRunning', isRunning, reason, reason, message)];
}

/** The condition of a VM whose hypervisor runs, before anything else was seen of it. */
export function runningCondition(atMs: number): Condition {
  return withSince(stateOf('Running', true, 'Running', '', ''), [], atMs);
}

/** The condition of a VM that has crashed. */
export function crashedCondition(reason: string, message: string, atMs: number): Condition {
  return withSince(stateOf('Running', false, '', reason, message), [], atMs);
}

/**
 * What must outlive the daemon: since when the VM runs and what is not as it should be, so that it is told once, and that
 * it is over is told, too.
 */
export function durableOf(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.filter(({ type, status }) => type === 'Running' || !status);
}

/** What has changed between two lists: what is wrong now and was not, or is so no more. */
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

/** What an earlier daemon saw last, from what it wrote down. */
export function sightOf({ conditions = [] }: Pick<VmRecord, 'conditions'>): VmSight {
  const wrong = (type: VmConditionType) =>
    conditions.find((one) => one.type === type && !one.status);
  const network = wrong('NetworkInLine');
  const workload = wrong('WorkloadRunning');
  return {
    ...UNSEEN,
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

/** Whether the guest can be taken for one that serves. */
export function isResponsive({ hypervisorAnswers, halted, agentAnswers }: VmSight): boolean {
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
