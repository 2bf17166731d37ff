// engine, vms: the parts of this directory, joined: what is asked for, the executor that makes it so, and the first look
// at the host.

import { availableParallelism } from 'node:os';
import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { PassFailPoint } from '../../lib/fail-points.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import { BY_DAEMON, BY_EXIT } from '../cause.ts';
import type { ConditionKeeper } from '../conditions/condition-keeper.ts';
import type { Exposures } from '../exposures/exposures.ts';
import type { HostPort } from '../ports.ts';
import type { Cause, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import type { Admission } from './admission.ts';
import { Autostart } from './autostart.ts';
import { EndReader } from './end-reader.ts';
import { Executor } from './executor.ts';
import type { Share } from './fair-line.ts';
import { GuestEnds } from './guest-end.ts';
import { HostLook } from './host-look.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Journal } from './journal.ts';
import { launchCostOf, SMALLEST_COST } from './launch-cost.ts';
import type { LaunchDraft, LaunchPlanner } from './launch-planner.ts';
import type { Launcher } from './launcher.ts';
import type { LiveVms } from './live.ts';
import { nextStep, type StepName } from './next-step.ts';
import type { Notes } from './notes.ts';
import { Operations } from './operations.ts';
import { owesLaunch } from './status.ts';
import { Steps } from './steps.ts';
import { Sweeper } from './sweeper.ts';
import { Vms } from './vms.ts';

export interface RoomParts {
  readonly state: State;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly planner: LaunchPlanner;
  readonly admission: Admission;
  readonly hypervisors: Hypervisors;
  readonly launcher: Launcher;
  readonly exposures: Exposures;
  readonly conditions: Pick<ConditionKeeper, 'see' | 'forget'>;
  readonly notes: Notes;
  readonly journal: Journal;
  readonly host: HostPort;
  readonly pass: PassFailPoint;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface VmsRoom {
  readonly vms: Vms;
  readonly live: LiveVms;
  readonly operations: Operations;
  readonly executor: Executor;
  readonly hostLook: HostLook;
  /** What is known of a VM may be wrong: the host is looked at before anything else is done for it. */
  readonly doubt: (vmId: number) => void;
  readonly sweeper: Sweeper;
  readonly autostart: Autostart;
  /** Lets what was begun end, and begins nothing more. */
  close(): Promise<void>;
}

/** Of a step for which nobody has asked since the daemon was started: it goes on with a wish, or a hypervisor has ended. */
function causeOf(step: StepName, { wanted }: VmRecord): Cause {
  if (step === 'noteEnd') return BY_EXIT;
  return step === 'look' ? BY_DAEMON : { ...wanted.cause, ...BY_DAEMON };
}

export function createVms(parts: RoomParts): VmsRoom {
  const { state, live, boots, planner, admission, hypervisors, launcher, notes, journal } = parts;
  const { exposures, conditions, host, pass, clock, log } = parts;
  const operations = new Operations({
    runningMax: LIMITS.operationsRunningMax,
    waitingMax: LIMITS.operationsWaitingMax,
    perVmMax: LIMITS.operationsPerVmMax,
    intakeMax: LIMITS.intakeMax,
  });
  const sweeper = new Sweeper({ host, log });
  const hostLook = new HostLook({ state, host, hypervisors, live, boots, sweeper, clock, log });
  const doubt = (vmId: number) => {
    live.doubt(vmId);
    hostLook.renew();
  };
  const guestEnds = new GuestEnds({ state, boots, exposures, cores: availableParallelism(), log });
  const steps = new Steps({
    live,
    planner,
    launcher,
    guestEnds,
    ends: new EndReader({ host, hypervisors, boots, clock, log }),
    notes,
    boots,
    doubt,
    log,
  });
  const failureOf = ({ id, wanted }: VmRecord) => {
    const failure = live.failureOf(id);
    return failure?.launch === wanted.launch ? failure.error : null;
  };
  const executor = new Executor({
    state,
    operations,
    next: (record) => nextStep(record, live.sightOf(record)),
    weigh: (vmId) => shareOf(state.find(vmId), live.draftOf(vmId)),
    take: async (step, record, turn) => {
      const startedMs = clock.monotonicMs();
      const unasked = causeOf(step, record);
      const tell = (error: unknown) =>
        journal.took(record.id, step, clock.monotonicMs() - startedMs, error, unasked);
      try {
        pass(`step:${step}:before`);
        await (step === 'look' ? hostLook.take(record, turn) : steps.take(step, record, turn));
        pass(`step:${step}:after`);
        if (step === 'look') conditions.see(record.id, { unjudged: null });
      } catch (error) {
        tell(error);
        if (step === 'look') conditions.see(record.id, { unjudged: whyUnjudged(error) });
        throw error;
      }
      // A launch that failed is a step that was taken: it is not tried again.
      tell(step === 'launch' ? failureOf(record) : null);
    },
    onSettled: (vmId, record) => {
      if (record === undefined) journal.forget(vmId);
      else journal.settled(vmId, failureOf(record) !== null);
    },
    log,
  });
  live.subscribe((vmId) => {
    conditions.forget(vmId);
    executor.wake(vmId);
  });
  const vms = new Vms({ state, admission, planner, notes, live, executor, operations });
  const autostart = new Autostart({ state, live, vms, notes, executor, log });
  return {
    vms,
    live,
    operations,
    executor,
    hostLook,
    doubt,
    sweeper,
    autostart,
    close: async () => {
      autostart.close();
      await operations.close();
      executor.close();
      await Promise.all([journal.close(), hypervisors.close()]);
    },
  };
}

function whyUnjudged(error: unknown): string {
  const why = error instanceof VolantError ? error.message : 'an internal error';
  return `It cannot be said yet whether the hypervisor runs: ${why}`;
}

/** What is done for a VM as it is now: a launch has its price, everything else is cheap. */
function shareOf(record: VmRecord | undefined, draft: LaunchDraft | null): Share {
  const client = record?.wanted.cause?.client ?? '';
  const isLaunch = record !== undefined && owesLaunch(record);
  return { client, isLaunch, cost: isLaunch ? launchCostOf(record, draft) : SMALLEST_COST };
}
