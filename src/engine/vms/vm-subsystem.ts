// engine, vms: builds the parts of this folder and joins them: the operations of the API, the executor, the steps, and
// the inspection of the host.

import { availableParallelism } from 'node:os';
import type { Limits } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolantError } from '../../lib/errors.ts';
import type { PassFailPoint } from '../../lib/fail-points.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Boots } from '../boots/boots.ts';
import type { ConditionKeeper } from '../conditions/condition-keeper.ts';
import { BY_DAEMON, BY_EXIT } from '../events/cause.ts';
import type { HostPorts } from '../ports/host-ports.ts';
import type { PortPublisher } from '../published-ports/port-publisher.ts';
import type { Cause, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { needsLaunch } from '../vm-record/status.ts';
import type { Admission } from './admission.ts';
import { Deadlines } from './deadlines.ts';
import { EndReader } from './ends/end-reader.ts';
import { GuestShutdown } from './ends/guest-shutdown.ts';
import { Executor } from './executor.ts';
import type { Journal } from './journal.ts';
import { launchCostOf } from './launch/launch-cost.ts';
import type { LaunchDraft, LaunchPlanner } from './launch/launch-planner.ts';
import type { Launcher } from './launcher.ts';
import { nextStep, type StepName } from './next-step.ts';
import { Operations } from './operations.ts';
import type { Hypervisors } from './processes/hypervisors.ts';
import type { LiveVms } from './processes/live.ts';
import type { RecordWriter } from './record-writer.ts';
import { Autostart } from './start/autostart.ts';
import { HostInspection } from './start/host-inspection.ts';
import { Sweeper } from './start/sweeper.ts';
import { Steps } from './steps.ts';
import { Vms } from './vms.ts';
import type { Share } from './work-queue.ts';
import { SMALLEST_COST } from './work-queue.ts';

export interface VmSubsystemParts {
  readonly state: State;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly planner: LaunchPlanner;
  readonly admission: Admission;
  readonly hypervisors: Hypervisors;
  readonly launcher: Launcher;
  readonly publisher: PortPublisher;
  readonly conditions: Pick<ConditionKeeper, 'observe' | 'forget'>;
  readonly recordWriter: RecordWriter;
  readonly journal: Journal;
  readonly host: Pick<HostPorts, 'network' | 'media' | 'processes'>;
  readonly limits: Limits;
  readonly pass: PassFailPoint;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface VmSubsystem {
  readonly vms: Vms;
  readonly live: LiveVms;
  readonly operations: Operations;
  readonly executor: Executor;
  readonly hostInspection: HostInspection;
  /** Discards what is known of a VM, because it may be wrong. The host is inspected before the next step. */
  readonly invalidate: (vmId: number) => void;
  readonly sweeper: Sweeper;
  /**
   * Begins what the daemon does by itself: first it deletes what is due, so that this is not started. Call it after recovery,
   * with the boot id of the host that is stored.
   */
  begin(bootIdBefore: string | null): void;
  /** Lets running work end and begins no more. */
  close(): Promise<void>;
}

/**
 * The cause of a step outside of an operation: a hypervisor has ended, or this daemon continues the work of an earlier
 * one.
 */
function causeOf(step: StepName, { wanted }: VmRecord): Cause {
  if (step === 'noteEnd') return BY_EXIT;
  return step === 'look' ? BY_DAEMON : { ...wanted.cause, ...BY_DAEMON };
}

function operationsOf(limits: Limits): Operations {
  return new Operations({
    runningMax: limits.operationsRunningMax,
    waitingMax: limits.operationsWaitingMax,
    perVmMax: limits.operationsPerVmMax,
    intakeMax: limits.intakeMax,
  });
}

export function createVmSubsystem(parts: VmSubsystemParts): VmSubsystem {
  const { state, live, boots, planner, admission, hypervisors, launcher, recordWriter } = parts;
  const { journal, publisher, conditions, host, limits, pass, clock, log } = parts;
  const operations = operationsOf(limits);
  const sweeper = new Sweeper({ host, limits, log });
  const seen = { host: host.processes, hypervisors, boots, clock, log };
  const hostInspection = new HostInspection({ ...seen, state, live, sweeper });
  const invalidate = (vmId: number) => {
    live.invalidate(vmId);
    hostInspection.invalidate();
  };
  const cores = availableParallelism();
  const guestShutdown = new GuestShutdown({ state, boots, publisher, limits, cores, log });
  const steps = new Steps({
    live,
    planner,
    launcher,
    guestShutdown,
    ends: new EndReader({ ...seen, state }),
    recordWriter,
    boots,
    invalidate,
    log,
  });
  const executor = new Executor({
    state,
    limits,
    operations,
    next: (record) => nextStep(record, live.factsOf(record)),
    weigh: (vmId) => shareOf(state.find(vmId), live.draftOf(vmId)),
    take: async (step, record, turn) => {
      const startedMs = clock.monotonicMs();
      const defaultCause = causeOf(step, record);
      const journalStep = (error: unknown) =>
        journal.took(record.id, step, clock.monotonicMs() - startedMs, error, defaultCause);
      try {
        pass(`step:${step}:before`);
        if (step === 'look') await hostInspection.take(record, turn);
        else await steps.take(step, record, turn);
        pass(`step:${step}:after`);
        if (step === 'look') conditions.observe(record.id, { unknownReason: null });
      } catch (error) {
        journalStep(error);
        if (step === 'look') conditions.observe(record.id, { unknownReason: whyUnknown(error) });
        throw error;
      }
      // A failed launch counts as a step that was taken: it is not retried.
      journalStep(step === 'launch' ? launchFailureOf(record, live) : null);
    },
    onSettled: (vmId, record) => {
      if (record === undefined) journal.forget(vmId);
      else journal.settled(vmId, launchFailureOf(record, live) !== null);
    },
    log,
  });
  live.subscribe((vmId) => {
    conditions.forget(vmId);
    executor.wake(vmId);
  });
  const vms = new Vms({ state, admission, planner, recordWriter, live, executor, operations });
  const deadlines = new Deadlines({ state, vms, limits, clock, log });
  const autostart = new Autostart({ state, live, vms, recordWriter, executor, log });
  return {
    vms,
    live,
    operations,
    executor,
    hostInspection,
    invalidate,
    sweeper,
    begin: (bootIdBefore) => {
      deadlines.start();
      autostart.begin(bootIdBefore, hostInspection.bootId);
    },
    close: async () => {
      autostart.close();
      deadlines.close();
      await operations.close();
      executor.close();
      await Promise.all([journal.close(), hypervisors.close()]);
    },
  };
}

/** The error of the wanted launch; null if it has not failed. */
function launchFailureOf({ id, wanted }: VmRecord, live: LiveVms): unknown {
  const failure = live.failureOf(id);
  return failure?.launch === wanted.launch ? failure.error : null;
}

function whyUnknown(error: unknown): string {
  const why = toVolantError(error).message;
  return `It is not known yet whether the hypervisor runs: ${why}`;
}

/**
 * The share of the work on a VM in its current state. A launch costs what launch-cost.ts says, everything else little.
 */
function shareOf(record: VmRecord | undefined, draft: LaunchDraft | null): Share {
  const client = record?.wanted.cause?.client ?? '';
  const isLaunch = record !== undefined && needsLaunch(record);
  return { client, isLaunch, cost: isLaunch ? launchCostOf(record, draft) : SMALLEST_COST };
}
