// e2e: what a simulated hypervisor does wrong when the metadata of its VM says so, and the scenarios that come with volant-load,
// shortened, against a real daemon.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parse } from 'yaml';
import { runLoad } from '../../src/load/run/run.ts';
import { checkScenario } from '../../src/load/scenario/scenario-file.ts';
import { scenarioPath, shippedScenarios } from '../../src/load/scenario/shipped.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const NEEDED = ['root', 'netns', 'tun'] as const;
const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

const withSimulator = (simulator: unknown) => ({ config: { metadata: { simulator } } });

suite('bad days of the simulator', { timeout: 300_000 }, () => {
  test('a crash, a start that fails, a button without effect, a hang', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const request = (name: string, simulator: unknown) =>
      daemon.call('POST', '/api/v1/vms', {
        name,
        plugin: 'hello',
        memory_mb: 96,
        ...withSimulator(simulator),
      });
    assert.equal((await request('crashing', { crash_after_ms: 5_000 })).status, 201);
    assert.equal((await daemon.waitFor('crashing', 'crashed')).status, 'crashed');
    const failed = await request('failing', { start_failure_rate: 1 });
    assert.ok(failed.status >= 500, failed.text);
    assert.equal((await daemon.call('GET', '/api/v1/vms/failing')).status, 404);
    assert.equal((await request('deaf', { ignore_power_button_rate: 1 })).status, 201);
    assert.equal((await daemon.call('POST', '/api/v1/vms/deaf/stop?grace_seconds=0')).status, 200);
    assert.equal((await request('hanging', { hang_after_ms: 5_000 })).status, 201);
    while ((await daemon.getVm('hanging')).conditions.every(({ status }) => status))
      await pause(200);
    assert.equal((await daemon.call('DELETE', '/api/v1/vms/hanging?grace_seconds=0')).status, 204);
  });

  test('what the simulator cannot do is refused with every wrong field, and costs nothing', async (t) => {
    if (!requireCapability(t, ...NEEDED)) return;
    const daemon = await startDaemon(t, SIMULATOR);
    const refused = await daemon.call('POST', '/api/v1/vms', {
      name: 'wrong',
      plugin: 'hello',
      ...withSimulator({ crash_rate: 2, sleeps: true }),
    });
    assert.equal(refused.status, 400);
    const { details } = refused.body;
    assert.deepEqual(Object.keys(details ?? {}).sort(), [
      'metadata.simulator.crash_rate',
      'metadata.simulator.sleeps',
    ]);
    assert.deepEqual(daemon.runDirectories(), []);
  });
});

/** A few seconds, so many starts that every operation is drawn, and no thresholds on time. */
function shortened(name: string) {
  const scenario = parse(readFileSync(scenarioPath(name), 'utf8'));
  for (const phase of scenario.phases) {
    phase.duration_seconds = Math.min(phase.duration_seconds, 6);
    const rate = phase.rate_per_second;
    if (typeof rate === 'number') phase.rate_per_second = Math.min(50, Math.max(5, rate));
    const peak = rate?.peak;
    if (peak !== undefined) {
      phase.rate_per_second = { base: 1, peak: 20, peak_after_seconds: 1, peak_seconds: 1 };
    }
  }
  // What the simulator does by chance says nothing in so few starts: the test looks at the codes of those errors instead.
  const isPlayed = JSON.stringify(scenario.vm ?? {}).includes('start_failure_rate');
  scenario.thresholds = scenario.thresholds.filter(
    (one: string) => one.includes('errors') && !(isPlayed && one.startsWith('create.')),
  );
  // This test asks whether the scenarios work, not how well the host does.
  scenario.generator = {
    late_ms: 60_000,
    loop_delay_ms_max: 60_000,
    cpu_share_max: 100,
    skipped_share_max: 1,
  };
  return checkScenario(scenario);
}

suite('scenarios that come with volant-load', { timeout: 480_000 }, () => {
  for (const name of shippedScenarios()) {
    test(name, async (t) => {
      if (!requireCapability(t, ...NEEDED)) return;
      const daemon = await startDaemon(t, SIMULATOR);
      const target = { url: daemon.url, apiKey: null, ca: null };
      const report = await runLoad({ target, scenario: shortened(name), seed: 1 });
      assert.equal(report.verdict, 'passed', report.reasons.join('\n'));
      for (const { name: operation, succeeded, errors } of report.operations) {
        assert.ok(succeeded > 0, `${operation} never succeeded`);
        // A hypervisor that does not start as it was told, or hangs before it has, and no other error.
        for (const code of Object.keys(errors.byCode))
          assert.match(code, /^HYPERVISOR_(FAILED|TIMEOUT)$/, operation);
      }
      assert.equal(report.cleanup?.leftTotal, 0);
      assert.deepEqual(daemon.taps(), []);
    });
  }
});
