// hypervisor: the driver for the simulator, a pretend hypervisor for load tests: a real process with a real tap and
// real sockets, but without a guest. Its source is native/simulator.

import {
  CONTROL_DESCRIPTOR,
  type LaunchSpec,
  RUN_FILES,
  type Simulation,
  TAP_DESCRIPTOR,
} from '../../engine/ports/hypervisor-ports.ts';
import type { HypervisorFacts } from '../../engine/ports/process-ports.ts';
import { VolantError } from '../../lib/errors.ts';
import { connectQmp } from '../qmp.ts';
import type { Driver, DriverHost, HypervisorCommand } from './driver.ts';
import { versionIn } from './qemu-facts.ts';

export const simulator: Driver = {
  facts: simulatorFacts,
  command: simulatorCommand,
  complaintIn: () => null,
  hasBrokenClock: () => false,
  // It implements the QMP commands that are used here.
  connect: (runDirectory, signal) => connectQmp(`${runDirectory}/${RUN_FILES.control}`, signal),
  agent: () => null,
};

function simulatorFacts(host: DriverHost): HypervisorFacts {
  const executable = host.findBuilt('build/simulator/simulator');
  if (executable === null) {
    throw new VolantError(
      'HYPERVISOR_MISSING',
      'The simulator is not built: run `npm run build` or `volantd setup`',
    );
  }
  return {
    driver: 'simulator',
    executable,
    version: versionIn(host.outputOf(executable, ['--version'])),
    accelerator: 'none',
    reason: 'The simulator boots no guests',
    kvmTrial: null,
    tscKhz: 0,
    vhostVsock: false,
    dataDirectories: [],
  };
}

function simulatorCommand(spec: LaunchSpec, facts: HypervisorFacts): HypervisorCommand {
  const network = spec.network === null ? [] : ['--tap-descriptor', String(TAP_DESCRIPTOR)];
  const control = ['--control-descriptor', String(CONTROL_DESCRIPTOR)];
  const argv = ['--run-directory', spec.runDirectory, '--name', spec.name, ...control, ...network];
  argv.push(...simulationArguments(spec.simulation ?? {}));
  // Recovery recognises a hypervisor by its pid file option, as QEMU has it.
  return {
    executable: facts.executable,
    argv: [...argv, '--pid-file', `${spec.runDirectory}/${RUN_FILES.pidFile}`],
  };
}

/** What happens is drawn by the process itself, once for each launch. */
function simulationArguments(simulation: Simulation): readonly string[] {
  const { crash_after_ms, crash_rate, hang_after_ms, hang_rate } = simulation;
  const crashes = crash_rate !== undefined || crash_after_ms !== undefined;
  const hangs = hang_rate !== undefined || hang_after_ms !== undefined;
  return [
    ...option('--start-failure-rate', simulation.start_failure_rate),
    ...option('--start-delay-ms', simulation.start_delay_ms),
    ...option('--fail-rate', crash_rate),
    ...(crashes ? option('--fail-after-ms', crash_after_ms ?? 0) : []),
    ...option('--hang-rate', hang_rate),
    ...(hangs ? option('--hang-after-ms', hang_after_ms ?? 0) : []),
    ...option('--ignore-button-rate', simulation.ignore_power_button_rate),
  ];
}

function option(name: string, value: number | undefined): readonly string[] {
  return value === undefined ? [] : [name, String(value)];
}
