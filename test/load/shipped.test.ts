// The scenarios that come with volant-load can be read, and are found by their names.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readScenarioFile } from '../../src/load/scenario/scenario-file.ts';
import { scenarioPath, shippedScenarios } from '../../src/load/scenario/shipped.ts';
import { simulationProblems } from '../../src/schema/simulation.ts';

test('each has the name of its file, a sentence that says what it does, and thresholds', async () => {
  assert.deepEqual(shippedScenarios(), [
    'burst',
    'churn',
    'crash-storm',
    'event-fan-out',
    'hold',
    'reads-under-creates',
    'rollout',
  ]);
  for (const name of shippedScenarios()) {
    const scenario = await readScenarioFile(scenarioPath(name));
    assert.equal(scenario.name, name);
    assert.match(scenario.description, /\.$/);
    assert.ok(scenario.thresholds.length > 0, name);
  }
});

test('the bad days of the crash storm are such that the simulator has', async () => {
  const { vm } = await readScenarioFile(scenarioPath('crash-storm'));
  const { metadata } = vm['config'] as { metadata: Record<string, unknown> };
  assert.deepEqual(simulationProblems(metadata), {});
});

test('a path is a path, also one that has such a name', () => {
  assert.equal(scenarioPath('./churn'), './churn');
  assert.equal(scenarioPath('churn.yaml'), 'churn.yaml');
  assert.equal(scenarioPath('nothing-like-it'), 'nothing-like-it');
});
