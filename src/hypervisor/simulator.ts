// hypervisor: the command line of the simulator, a pretend hypervisor for load tests: a real process
// with a real tap and real sockets, but no guest.

import {
  type HypervisorFacts,
  type LaunchSpec,
  RUN_FILES,
  TAP_DESCRIPTOR,
} from '../engine/ports.ts';

export function simulatorCommand(
  spec: LaunchSpec,
  facts: HypervisorFacts,
): { executable: string; argv: readonly string[] } {
  const network = spec.network === null ? [] : ['--tap-descriptor', String(TAP_DESCRIPTOR)];
  const argv = ['--run-directory', spec.runDirectory, '--name', spec.name, ...network];
  // Recovery knows a hypervisor by more than one mention of its run directory, as QEMU has them.
  return {
    executable: facts.executable,
    argv: [...argv, '--pid-file', `${spec.runDirectory}/${RUN_FILES.pidFile}`],
  };
}
