// engine, vms: the parts of this directory, joined: what is asked for, the executor that makes it so, and the first look
// at the host.

import { LIMITS } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Boots } from '../boots/boots.ts';
import type { HostPort } from '../ports.ts';
import type { State } from '../state.ts';
import type { Admission } from './admission.ts';
import { Executor } from './executor.ts';
import { FirstLook } from './first-look.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { LaunchPlanner } from './launch-planner.ts';
import type { Launcher } from './launcher.ts';
import type { LiveVms } from './live.ts';
import { nextStep } from './next-step.ts';
import type { Notes } from './notes.ts';
import { Operations } from './operations.ts';
import { Steps } from './steps.ts';
import { Vms } from './vms.ts';

export interface RoomParts {
  readonly state: State;
  readonly live: LiveVms;
  readonly boots: Boots;
  readonly planner: LaunchPlanner;
  readonly admission: Admission;
  readonly hypervisors: Hypervisors;
  readonly launcher: Launcher;
  readonly notes: Notes;
  readonly host: HostPort;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface VmsRoom {
  readonly vms: Vms;
  readonly live: LiveVms;
  readonly operations: Operations;
  readonly executor: Executor;
  readonly firstLook: FirstLook;
  /** Lets what was begun end, and begins nothing more. */
  close(): Promise<void>;
}

export function createVms(parts: RoomParts): VmsRoom {
  const { state, live, boots, planner, admission, hypervisors, launcher, notes } = parts;
  const { host, clock, log } = parts;
  const operations = new Operations({
    runningMax: LIMITS.operationsRunningMax,
    waitingMax: LIMITS.operationsWaitingMax,
    perVmMax: LIMITS.operationsPerVmMax,
  });
  const steps = new Steps({ live, planner, launcher, hypervisors, notes, boots, log });
  const firstLook = new FirstLook({ state, host, hypervisors, live, boots, clock, log });
  const executor = new Executor({
    state,
    operations,
    next: (record) => nextStep(record, live.sightOf(record)),
    take: (step, record, turn) =>
      step === 'look' ? firstLook.take(record, turn) : steps.take(step, record, turn),
    log,
  });
  live.subscribe((vmId) => executor.wake(vmId));
  return {
    vms: new Vms({ state, admission, planner, notes, live, executor, operations }),
    live,
    operations,
    executor,
    firstLook,
    close: async () => {
      firstLook.close();
      await operations.close();
      executor.close();
    },
  };
}
