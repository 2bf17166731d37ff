// engine, vms: the end of a hypervisor that runs, from asking the guest to SIGKILL. What is released afterwards
// is launcher's business.

import { LIMITS } from '../../config.ts';
import { within } from '../../lib/deadline.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { ProcessExit } from '../ports.ts';
import type { RunningVm } from './live.ts';

/**
 * Ends the process: the guest is asked to power off, then SIGTERM, then SIGKILL, each with its own
 * bound. A hurried end does not wait for a guest whose agent does not answer. STOP_FAILED when the
 * process outlives all of it.
 */
export async function endGuest(
  vm: RunningVm,
  name: string,
  hurry: boolean,
  log: Logger,
): Promise<ProcessExit> {
  const { exited } = vm.process;
  const worthAsking = !hurry || vm.agent === null || vm.agent.connected;
  if (worthAsking) {
    askToPowerOff(vm, name, AbortSignal.timeout(LIMITS.stopGraceMs), log);
    const exit = await within(exited, LIMITS.stopGraceMs);
    if (exit !== undefined) return exit;
    log.warn({ vm: name }, 'guest did not power off in time, sending SIGTERM');
  }
  await vm.process.signal('SIGTERM');
  const terminated = await within(exited, LIMITS.stopTerminateMs);
  if (terminated !== undefined) return terminated;
  log.warn({ vm: name }, 'hypervisor ignored SIGTERM, sending SIGKILL');
  return killGuest(vm, name);
}

/** Ends the process at once. STOP_FAILED when it outlives that. */
export async function killGuest(vm: RunningVm, name: string): Promise<ProcessExit> {
  await vm.process.signal('SIGKILL');
  const killed = await within(vm.process.exited, LIMITS.stopKillMs);
  if (killed !== undefined) return killed;
  throw new VolantError('STOP_FAILED', `The hypervisor of VM ${name} outlived SIGKILL`);
}

/** Agent and power button at once: a guest without our agent knows the button. */
function askToPowerOff(vm: RunningVm, name: string, signal: AbortSignal, log: Logger): void {
  const asked = [vm.control.powerButton(signal), vm.agent?.powerOff(signal)];
  for (const request of asked) {
    request?.catch((error: unknown) => {
      log.debug({ vm: name, err: error }, 'a request to power off was not taken');
    });
  }
}
