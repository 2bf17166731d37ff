// test: a stand-in for the look at which hypervisor there is, with trials of KVM that come to what a test wants.

import type { KnownTrials } from '../../src/engine/ports/process-ports.ts';
import type { KvmTrial } from '../../src/engine/records.ts';
import { trialOf } from '../../src/host/jobs/process/kvm-trial.ts';

export class FakeProbe {
  /** What the next trial of KVM comes to; null: there is none to be tried. */
  trial: Pick<KvmTrial, 'result' | 'reason'> | null = null;
  /** Trials that were carried out. */
  trials = 0;

  answer(known: KnownTrials) {
    const { trial } = this;
    const tryNow = (next: Pick<KvmTrial, 'result' | 'reason'>) => () => {
      this.trials += 1;
      return next;
    };
    const kvmTrial = trial === null ? null : trialOf('kernel', known, tryNow(trial));
    const facts = {
      driver: 'qemu',
      executable: '/usr/bin/qemu-system-x86_64',
      version: '7.2',
      accelerator: kvmTrial?.result === 'works' ? 'kvm' : 'tcg',
      reason: 'test',
      kvmTrial,
      tscKhz: 2_000_000,
      vhostVsock: false,
      dataDirectories: [],
    } as const;
    return { facts, kvmTrials: kvmTrial === null ? {} : { kernel: kvmTrial } };
  }
}
