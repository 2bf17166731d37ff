// A trial of KVM with pretend hypervisors: what each end of one is taken for.

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { trialOf, tryKvm } from '../../../../src/host/jobs/process/kvm-trial.ts';

/** Runs a shell script in place of a hypervisor. */
function trialWith(t: TestContext, script: string) {
  const directory = mkdtempSync(join(tmpdir(), 'volant-trial-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const executable = join(directory, 'hypervisor');
  writeFileSync(executable, `#!/bin/sh\n${script}\n`);
  chmodSync(executable, 0o755);
  return tryKvm({ executable, argv: ['-kernel', '/kernel'], timeoutMs: 500 });
}

suite('a trial of KVM', () => {
  test('works where the guest panics for lack of a root file system', (t) => {
    const { result } = trialWith(t, 'echo "Kernel panic - not syncing: VFS"');
    assert.equal(result, 'works');
  });

  test('is out of time, and says what was printed last, where the guest hangs', (t) => {
    const { result, reason } = trialWith(t, 'echo "Booting the kernel."; exec sleep 60');
    assert.equal(result, 'timed-out');
    assert.match(reason, /did not boot under KVM in 1 s: Booting the kernel\.$/);
  });

  test('has failed where the hypervisor ends, and says why', (t) => {
    const { result, reason } = trialWith(t, 'echo "kvm: no such device" >&2; exit 1');
    assert.equal(result, 'failed');
    assert.match(reason, /status 1\): kvm: no such device$/);
  });

  test('counts tries with the same result, and is repeated only where it may be', () => {
    const hung = { result: 'timed-out', reason: 'it hung', triedAtMs: 1, tries: 2 } as const;
    const works = { result: 'works', reason: 'it booted' } as const;
    const known = { trials: { kernel: hung }, mayTryAgain: true, nowMs: 7 };
    const never = () => assert.fail('it is not tried');
    assert.equal(trialOf('kernel', { ...known, mayTryAgain: false }, never), hung);
    assert.equal(trialOf('kernel', known, () => hung).tries, 3);
    const now = trialOf('kernel', known, () => works);
    assert.deepEqual(now, { ...works, triedAtMs: 7, tries: 1 });
    assert.equal(trialOf('kernel', { ...known, trials: { kernel: now } }, never), now);
    assert.equal(trialOf('other', { ...known, mayTryAgain: false }, () => works).tries, 1);
  });
});
