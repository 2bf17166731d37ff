// cli, run: why a VM has ended under a program, as a sentence.

import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '../../client/errors.ts';
import type { Vm } from '../../client/types.ts';
import type { Shell } from '../shell.ts';

/** The loss of a program is reported at once; the VM's record follows it. */
const LOOKS = 25;
const LOOK_PAUSE_MS = 200;

const GOING_ON = ['starting', 'running', 'stopping'];

/** Waits a few seconds for the daemon to know. */
export async function whyEnded({ client }: Shell, name: string): Promise<string> {
  for (let look = 1; ; look += 1) {
    try {
      const vm = await client.vms.get(name);
      if (!GOING_ON.includes(vm.status) || look === LOOKS) return sentenceOf(vm);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      return `VM ${name} was deleted while the program ran`;
    }
    await pause(LOOK_PAUSE_MS);
  }
}

function sentenceOf({ name, status, status_reason, conditions }: Vm): string {
  const wrong = conditions.find((condition) => condition.type === 'Running' && !condition.status);
  const why = wrong?.message ?? status_reason ?? '';
  const what =
    status === 'crashed'
      ? 'has crashed'
      : status === 'running'
        ? 'has booted again'
        : `is ${status}`;
  return `VM ${name} ${what} while the program ran${why === '' ? '' : `: ${why}`}`;
}
