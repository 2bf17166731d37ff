// load, scenario: what is read from a file, and what is said of one that cannot be used.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMetrics, sumOf } from '../../src/load/run/prometheus.ts';
import { ConditionError, parseCondition } from '../../src/load/scenario/condition.ts';
import { parseScenario, ScenarioError } from '../../src/load/scenario/scenario-file.ts';

const PHASES = 'phases: [{ kind: constant, duration_seconds: 1, rate_per_second: 1 }]';

function problemsOf(text: string): Readonly<Record<string, string>> {
  try {
    parseScenario(text);
  } catch (error) {
    assert.ok(error instanceof ScenarioError, String(error));
    return error.details;
  }
  return {};
}

test('every wrong field is named at once, with what is wrong', () => {
  const problems = problemsOf(`
name: 7
wrong: 1
max_in_flight: 0
phases:
  - { kind: constant, rate_per_second: 1 }
  - { kind: ramp, duration_seconds: 1, rate_per_second: { from: 1 } }
  - { kind: poisson, duration_seconds: 1, users: 3 }
  - { kind: hill, duration_seconds: 1 }
  - { kind: soak, duration_seconds: 1, users: 1, rate_per_second: 1 }
  - { kind: spike, duration_seconds: 2, rate_per_second: { base: 1, peak: 2, peak_after_seconds: 1, peak_seconds: 5 } }
operations:
  - { do: list, limit: many }
  - { name: life, steps: [{ do: create, until: soon }, { do: fly }] }
thresholds:
  - create.p98 < 1s
  - create.p99 < 1%
  - { condition: rate > 1, after_seconds: 3 }
`);
  assert.deepEqual(Object.keys(problems).toSorted(), [
    'max_in_flight',
    'name',
    'operations[0].limit',
    'operations[1].steps[0].until',
    'operations[1].steps[1].do',
    'phases[0].duration_seconds',
    'phases[1].rate_per_second.to',
    'phases[2].users',
    'phases[3].kind',
    'phases[4]',
    'phases[5].rate_per_second.peak_seconds',
    'thresholds[0]',
    'thresholds[1]',
    'thresholds[2].after_seconds',
    'wrong',
  ]);
  assert.equal(problems['wrong'], 'is not known here');
  assert.match(problems['phases[3].kind'] ?? '', /constant, ramp, step, spike, poisson, soak/);
});

test('steps must have what they work on, and names must be known', () => {
  const problems = problemsOf(`
name: rules
${PHASES}
operations:
  - { do: get }
  - { do: delete, name: gone }
  - { name: pair, steps: [{ do: create }, { do: create }] }
  - { name: get, steps: [{ do: list }, { do: list }] }
  - { do: watch }
thresholds: [foo.p99 < 1s, 'night:rate > 1']
`);
  assert.deepEqual(Object.keys(problems).toSorted(), [
    'operations[0]',
    'operations[1]',
    'operations[2].steps[1]',
    'operations[3].name',
    'operations[4]',
    'thresholds[0]',
    'thresholds[1]',
  ]);
});

test('YAML and JSON give the same scenario, with every default', () => {
  const yaml = parseScenario(`name: one\n${PHASES}\noperations: [{ do: list, weight: 2 }]`);
  const json = parseScenario(
    JSON.stringify({
      name: 'one',
      phases: [{ kind: 'constant', duration_seconds: 1, rate_per_second: 1 }],
      operations: [{ do: 'list', weight: 2 }],
    }),
  );
  assert.deepEqual(yaml, json);
  assert.deepEqual([yaml.maxInFlight, yaml.drainMs, yaml.setup.vms], [256, 30_000, 0]);
  assert.throws(() => parseScenario('name: [1'), ScenarioError);
});

test('conditions have a measure, a comparison and a value with its unit', () => {
  const { operation, measure, bound, unit } = parseCondition('create.p99 < 200ms');
  assert.deepEqual([operation, measure, bound, unit], ['create', 'p99', 200, 'ms']);
  assert.equal(parseCondition('create.p99.9<=1.5s').bound, 1500);
  assert.equal(parseCondition('create.errors < 1%').bound, 0.01);
  assert.deepEqual(
    [parseCondition('errors < 3').unit, parseCondition('errors < 3').bound],
    ['count', 3],
  );
  assert.equal(parseCondition('2 ramp:create.rate > 50/s').phase, '2 ramp');
  for (const wrong of [
    '',
    'create < 1',
    'create.p99 < 5',
    'create.p98 < 1s',
    'rate > 5ms',
    'x.p99',
  ]) {
    assert.throws(() => parseCondition(wrong), ConditionError, wrong);
  }
});

test('metrics are summed over their series, and what cannot be read is left out', () => {
  const samples = parseMetrics(`# HELP volant_queue_waiting x
volant_queue_waiting{queue="operations"} 3
volant_queue_waiting{queue="boots",why="a \\"b\\" \\\\ {c}"} 4 1700000000
requests_total 5e2
broken{ 1
odd NaN
`);
  assert.equal(sumOf(samples, 'volant_queue_waiting'), 7);
  assert.equal(sumOf(samples, 'volant_queue_waiting', { queue: 'boots' }), 4);
  assert.equal(samples[1]?.labels['why'], 'a "b" \\ {c}');
  assert.equal(sumOf(samples, 'requests'), 500);
  assert.equal(sumOf(samples, 'absent'), undefined);
  assert.equal(samples.length, 4);
});
