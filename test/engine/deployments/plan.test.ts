// What a deployment does next, case by case: the plan is pure, so each case is one call.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Backoff } from '../../../src/engine/deployments/backoff.ts';
import {
  type Action,
  type Member,
  type PlanInput,
  planDeployment,
} from '../../../src/engine/deployments/plan.ts';

function member(index: number, more: Partial<Member> = {}): Member {
  return {
    vmId: index,
    name: `web-${index}`,
    index,
    revision: 1,
    phase: 'alive',
    ready: true,
    ...more,
  };
}

function plan(input: Partial<PlanInput>) {
  return planDeployment({
    desired: 0,
    revision: 1,
    maxUnavailable: 1,
    members: [],
    creating: new Set(),
    isTaken: () => false,
    dueAtMs: () => 0,
    nowMs: 1_000,
    actionsMax: 16,
    ...input,
  });
}

/** 'create 3', 'delete 2', 'replace 1' */
function told(actions: readonly Action[]): string[] {
  return actions.map((action) =>
    action.kind === 'create' ? `create ${action.index}` : `${action.kind} ${action.member.index}`,
  );
}

suite('scaling', () => {
  test('missing replicas get the lowest free indices; names of strangers are skipped', () => {
    const { actions } = plan({
      desired: 5,
      members: [member(2)],
      isTaken: (index) => index === 3,
    });
    assert.deepEqual(told(actions), ['create 1', 'create 4', 'create 5', 'create 6']);
  });

  test('surplus replicas go: those that ended, those that are not ready, then the highest index', () => {
    const members = [
      member(1),
      member(2, { ready: false }),
      member(3),
      member(4, { phase: 'ended', ready: false }),
      member(5),
    ];
    assert.deepEqual(told(plan({ desired: 2, members }).actions), [
      'delete 4',
      'delete 2',
      'delete 5',
    ]);
  });

  test('what is under way counts once and is left alone', () => {
    const members = [member(1), member(2, { phase: 'busy', ready: false })];
    const { actions } = plan({ desired: 2, members, creating: new Set([2]) });
    assert.deepEqual(actions, []);
  });

  test('a replica on its way out keeps its name until it is gone', () => {
    const members = [member(1, { phase: 'busy' }), member(2)];
    assert.deepEqual(told(plan({ desired: 2, members }).actions), ['create 3']);
  });

  test('one that could not be deleted counts, goes first, and is left alone until that is tried again', () => {
    const members = [member(1, { phase: 'stuck' }), member(2), member(3)];
    assert.deepEqual(plan({ desired: 3, members }).actions, []);
    assert.deepEqual(plan({ desired: 2, members }).actions, []);
    assert.deepEqual(told(plan({ desired: 1, members }).actions), ['delete 3']);
  });

  test('never begins more than there is room for, nor anything when all is as it shall be', () => {
    assert.equal(plan({ desired: 100, actionsMax: 7 }).actions.length, 7);
    assert.equal(plan({ desired: 100, actionsMax: 0 }).actions.length, 0);
    const steady = plan({ desired: 2, members: [member(1), member(2)] });
    assert.deepEqual(steady, { actions: [], wakeAtMs: null });
  });
});

suite('replacing', () => {
  test('replicas that are not ready are replaced so many at a time, over all rounds', () => {
    const members = [1, 2, 3, 4].map((index) => member(index, { ready: false }));
    const first = plan({ desired: 4, revision: 2, maxUnavailable: 2, members });
    assert.deepEqual(told(first.actions), ['replace 1', 'replace 2']);
    const next = plan({
      desired: 4,
      revision: 2,
      maxUnavailable: 2,
      members: members.map((one) => (one.index === 1 ? { ...one, phase: 'busy' as const } : one)),
      creating: new Set([1]),
    });
    assert.deepEqual(told(next.actions), ['replace 2']);
  });

  test('an ended replica is replaced when its pause is over, and the plan says when that is', () => {
    const members = [member(1), member(2, { phase: 'ended', ready: false })];
    const dueAtMs = (index: number) => (index === 2 ? 1_500 : 0);
    const early = plan({ desired: 2, members, dueAtMs });
    assert.deepEqual(early, { actions: [], wakeAtMs: 1_500 });
    const due = plan({ desired: 2, members, dueAtMs, nowMs: 1_500 });
    assert.deepEqual(told(due.actions), ['replace 2']);
  });

  test('a new config replaces one ready replica at a time', () => {
    const members = [member(1), member(2), member(3)];
    assert.deepEqual(told(plan({ desired: 3, revision: 2, members }).actions), ['replace 1']);
    const two = plan({ desired: 3, revision: 2, members, maxUnavailable: 2 });
    assert.deepEqual(told(two.actions), ['replace 1', 'replace 2']);
  });

  test('while a new replica is not ready the old ones are kept', () => {
    const members = [member(1, { revision: 2, ready: false }), member(2), member(3)];
    assert.deepEqual(plan({ desired: 3, revision: 2, members }).actions, []);
    const ready = [member(1, { revision: 2 }), member(2), member(3)];
    assert.deepEqual(told(plan({ desired: 3, revision: 2, members: ready }).actions), [
      'replace 2',
    ]);
  });

  test('an old replica that is not ready is no loss', () => {
    const members = [member(1), member(2, { ready: false }), member(3)];
    assert.deepEqual(told(plan({ desired: 3, revision: 2, members }).actions), ['replace 2']);
  });
});

/** A small generator, so that a failure can be repeated (Numerical Recipes' constants). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('from any state, carrying out plans reaches the goal and stays there', () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = generator(seed);
    const desired = random(8);
    const indices = [...new Set(Array.from({ length: random(10) }, () => 1 + random(12)))];
    let members = indices.map((index) => {
      const ended = random(4) === 0;
      return member(index, {
        revision: 1 + random(2),
        phase: ended ? 'ended' : 'alive',
        ready: !ended && random(3) > 0,
      });
    });
    let rounds = 0;
    for (;;) {
      const { actions } = plan({ desired, revision: 2, members, actionsMax: 1 + random(4) });
      if (actions.length === 0) break;
      for (const action of actions) {
        const index = action.kind === 'create' ? action.index : action.member.index;
        members = members.filter((other) => other.index !== index);
        if (action.kind !== 'delete') members.push(member(index, { revision: 2 }));
      }
      // Those that start become ready in the end.
      members = members.map((each) =>
        each.phase === 'alive' && random(2) === 0 ? { ...each, ready: true } : each,
      );
      rounds += 1;
      assert.ok(rounds < 100, `seed ${seed} does not settle`);
    }
    members = members.map((each) => ({ ...each, ready: each.phase === 'alive' }));
    while (plan({ desired, revision: 2, members }).actions.length > 0) {
      for (const action of plan({ desired, revision: 2, members }).actions) {
        assert.equal(action.kind, 'replace', `seed ${seed}`);
        if (action.kind !== 'replace') continue;
        const { index } = action.member;
        members = members.filter((other) => other.index !== index);
        members.push(member(index, { revision: 2 }));
      }
    }
    assert.equal(members.length, desired, `seed ${seed}`);
    assert.ok(members.every(({ revision, phase }) => revision === 2 && phase === 'alive'));
  }
});

suite('the pause after failures', () => {
  const limits = { minMs: 500, maxMs: 60_000, windowMs: 600_000 };

  test('doubles with each failure up to its bound', () => {
    const backoff = new Backoff<string>(limits);
    const pauses = Array.from({ length: 10 }, () => {
      backoff.failed('a', 1_000);
      return backoff.dueAtMs('a', 1_000) - 1_000;
    });
    assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
    assert.equal(backoff.dueAtMs('b', 1_000), 0);
  });

  test('is forgotten when nothing failed for a whole window', () => {
    const backoff = new Backoff<string>(limits);
    for (let count = 0; count < 5; count += 1) backoff.failed('a', 1_000);
    assert.equal(
      backoff.total(1_000, () => true),
      5,
    );
    assert.equal(
      backoff.total(601_000, () => true),
      0,
    );
    assert.equal(backoff.dueAtMs('a', 601_000), 0);
  });
});
