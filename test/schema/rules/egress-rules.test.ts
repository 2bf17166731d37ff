// schema: which egress rules are valid, and where each problem is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import type { EgressInput } from '../../../src/schema/egress.ts';
import { checkEgress, normalEgress } from '../../../src/schema/rules/egress-rules.ts';

function problemsOf(rules: EgressInput): Record<string, string> {
  const problems: Record<string, string> = {};
  checkEgress(rules, 'network.egress', problems);
  return problems;
}

const addresses = (count: number, from = 0) =>
  Array.from(
    { length: count },
    (_, index) => `10.0.${Math.floor((from + index) / 256)}.${(from + index) % 256}`,
  );

test('default is required', () => {
  assert.deepEqual(problemsOf({}), { 'network.egress.default': 'must be allow or deny' });
  assert.deepEqual(problemsOf({ default: 'maybe', allow: ['10.0.0.1'] }), {
    'network.egress.default': 'must be allow or deny',
  });
  assert.deepEqual(problemsOf({ default: ' Deny ' }), {});
});

test('every wrong entry is named by its list and number', () => {
  const problems = problemsOf({
    default: 'deny',
    allow: ['10.0.0.0/8', '10.0.0.0/33', 'example.org', 'EXAMPLE.org', '10.9.0.0/16'],
    deny: ['a b', '10.9.0.0/16', 'x.example.org:443'],
  });
  assert.deepEqual(Object.keys(problems).sort(), [
    'network.egress.allow[1]',
    'network.egress.allow[3]',
    'network.egress.allow[4]',
    'network.egress.deny[0]',
    'network.egress.deny[2]',
  ]);
  assert.match(problems['network.egress.allow[3]'] ?? '', /same as network\.egress\.allow\[2\]/);
  assert.match(problems['network.egress.allow[4]'] ?? '', /network\.egress\.deny\[1\] denies all/);
});

test('entries and names are bounded', () => {
  const { egressEntriesMax, egressNamesMax } = LIMITS;
  const half = egressEntriesMax / 2;
  const [allow, deny] = [addresses(half), addresses(half, half)];
  assert.deepEqual(problemsOf({ default: 'deny', allow, deny }), {});
  const more = problemsOf({ default: 'deny', allow: [...allow, '10.1.0.0'], deny });
  assert.match(more['network.egress'] ?? '', new RegExp(`at most ${egressEntriesMax} entries`));
  const names = Array.from({ length: egressNamesMax + 1 }, (_, index) => `n${index}.example.org`);
  assert.deepEqual(problemsOf({ default: 'deny', allow: names.slice(1) }), {});
  const many = problemsOf({ default: 'deny', allow: names });
  assert.match(many['network.egress'] ?? '', new RegExp(`at most ${egressNamesMax} names`));
});

test('rules are stored in their normal form', () => {
  const given = { default: 'DENY', allow: [' Bücher.example ', '10.0.0.1/32:80-80'] };
  assert.deepEqual(normalEgress(given), {
    default: 'deny',
    allow: ['xn--bcher-kva.example', '10.0.0.1:80'],
    deny: [],
  });
  assert.equal(normalEgress(null), undefined);
});
