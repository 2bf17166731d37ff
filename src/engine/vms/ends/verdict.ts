// engine, vms: reads from a guest's console how its workload ended for good. The agent writes that as the last line, after it
// has ended everything else in the guest and synced the disks (native/guest/workload/power.c). The line survives in the
// console's log, so it does not matter whether a daemon runs at that moment. A workload may print such a line as well: that
// can falsify its own exit and nothing else. Pure.

import type { Manifest } from '../../../schema/manifest.ts';
import type { WorkloadExit } from '../../records.ts';
import { linesOf } from './console-evidence.ts';

const FROM_AGENT = /^volant-agent: /;
const VERDICT = /^volant-agent: workload ended for good: (exit status|signal) (\d{1,3})$/;

/** Whether a workload of this manifest can end for good. */
export function mayExit({ workload }: Pick<Manifest, 'workload'>): boolean {
  return (workload.restart ?? 'always') !== 'always';
}

/** How the workload ended; null if the agent's last line does not say it. Lines of the kernel may follow it. */
export function verdictIn(console: Uint8Array): WorkloadExit | null {
  const last = linesOf(console).findLast((line) => FROM_AGENT.test(line)) ?? '';
  const [, kind, digits] = VERDICT.exec(last) ?? [];
  const number = Number(digits);
  if (kind === 'exit status' && number <= 255) return { code: number, signal: null };
  return kind === 'signal' && number >= 1 && number <= 64 ? { code: null, signal: number } : null;
}

/** As a part of a sentence. */
export function exitText({ code, signal }: WorkloadExit): string {
  return code === null ? `was killed by signal ${signal}` : `exited with status ${code}`;
}
