// What is said of a VM for each thing that can be seen of it.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  changesIn,
  conditionsOf,
  durableOf,
  isResponsive,
  lastObservationOf,
  NOTHING_OBSERVED,
  type VmObservation,
} from '../../../src/engine/conditions/vm-conditions.ts';

const NOW_MS = 1_700_000_000_000;
const RIGHT: VmObservation = {
  ...NOTHING_OBSERVED,
  isConnected: true,
  hypervisorAnswers: true,
  agentAnswers: true,
  network: [],
};

const wrongIn = (observation: VmObservation) =>
  conditionsOf(observation, [], NOW_MS).flatMap(({ type, status, reason }) =>
    status ? [] : [`${type} ${reason}`],
  );

suite('the conditions of a VM', () => {
  test('are all true where everything is as it should be', () => {
    const conditions = conditionsOf(RIGHT, [], NOW_MS);
    assert.deepEqual(
      conditions.map(({ type }) => type),
      [
        'Running',
        'ControlConnected',
        'HypervisorResponsive',
        'AgentResponsive',
        'NetworkInLine',
        'DisksWritable',
      ],
    );
    assert.ok(conditions.every(({ status, message }) => status && message === ''));
  });

  test('leave out what is not known', () => {
    const types = conditionsOf(NOTHING_OBSERVED, [], NOW_MS).map(({ type }) => type);
    assert.deepEqual(types, ['Running', 'DisksWritable']);
  });

  test('name each thing that is wrong, and whether the guest can serve', () => {
    const cases: readonly [Partial<VmObservation>, string, boolean][] = [
      [{ unknownReason: 'hangs' }, 'Running CannotBeJudged', true],
      [{ isConnected: false }, 'ControlConnected ConnectionLost', true],
      [{ hypervisorAnswers: false }, 'HypervisorResponsive DoesNotAnswer', false],
      [{ halted: 'internal-error' }, 'HypervisorResponsive GuestHalted', false],
      [{ agentAnswers: false }, 'AgentResponsive DoesNotAnswer', false],
      [{ network: ['tap'] }, 'NetworkInLine Differs', true],
      [{ isDiskFull: true }, 'DisksWritable HostDiskFull', true],
    ];
    for (const [seen, wrong, serves] of cases) {
      assert.deepEqual(wrongIn({ ...RIGHT, ...seen }), [wrong]);
      assert.equal(isResponsive({ ...RIGHT, ...seen }), serves, wrong);
    }
  });

  test('keep since while status and reason stay', () => {
    const first = conditionsOf(RIGHT, [], NOW_MS);
    const frozen = conditionsOf({ ...RIGHT, hypervisorAnswers: false }, first, NOW_MS + 1_000);
    const later = conditionsOf({ ...RIGHT, hypervisorAnswers: false }, frozen, NOW_MS + 9_000);
    assert.deepEqual(later, frozen);
    const times = new Map(frozen.map(({ type, since }) => [type, Date.parse(since) - NOW_MS]));
    assert.equal(times.get('HypervisorResponsive'), 1_000);
    assert.equal(times.get('NetworkInLine'), 0);
  });

  test('are bounded, however much differs', () => {
    const network = Array.from({ length: 1_000 }, (_, index) => `rule ${index} is gone`);
    const found = conditionsOf({ ...RIGHT, network }, [], NOW_MS).find(({ status }) => !status);
    assert.equal(found?.message.length, 500);
  });

  test('report what has changed, and what is kept says as much to the next daemon', () => {
    const before = conditionsOf(RIGHT, [], NOW_MS);
    const seen = { ...RIGHT, hypervisorAnswers: false, network: ['tap'] };
    const after = conditionsOf(seen, before, NOW_MS);
    const types = (list: readonly { readonly type: string }[]) => list.map(({ type }) => type);
    assert.deepEqual(types(changesIn(durableOf(before), after).degraded), [
      'HypervisorResponsive',
      'NetworkInLine',
    ]);
    const kept = durableOf(after);
    assert.deepEqual(types(kept), ['Running', 'HypervisorResponsive', 'NetworkInLine']);
    const observation = lastObservationOf({ conditions: kept });
    assert.deepEqual(wrongIn(observation), [
      'HypervisorResponsive DoesNotAnswer',
      'NetworkInLine Differs',
    ]);
    const again = changesIn(kept, conditionsOf(RIGHT, kept, NOW_MS));
    assert.deepEqual(again.degraded, []);
    assert.deepEqual(types(again.repaired), ['HypervisorResponsive', 'NetworkInLine']);
  });
});
