// lib: a result that is kept is the one that would be computed, and what is kept is bounded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withRecentResults } from '../../src/lib/recent-results.ts';

test('a result is computed once for the texts that were asked for last, and again for others', () => {
  const computed: string[] = [];
  const upper = withRecentResults(
    (text) => {
      computed.push(text);
      return text.toUpperCase();
    },
    { entriesMax: 2, charactersMax: 3 },
  );
  assert.deepEqual(['a', 'b', 'a', 'b'].map(upper), ['A', 'B', 'A', 'B']);
  assert.deepEqual(computed, ['a', 'b']);
  // Of three the one that was asked for longest ago goes.
  assert.deepEqual(['a', 'c', 'a', 'b'].map(upper), ['A', 'C', 'A', 'B']);
  assert.deepEqual(computed, ['a', 'b', 'c', 'b']);
});

test('a text that is too long is computed each time, and takes nobody’s place', () => {
  let computed = 0;
  const count = withRecentResults(
    () => {
      computed += 1;
      return computed;
    },
    { entriesMax: 1, charactersMax: 3 },
  );
  assert.deepEqual(['abc', 'long', 'long', 'abc'].map(count), [1, 2, 3, 1]);
});

test('a result that is no value is kept as any other', () => {
  let computed = 0;
  const nothing = withRecentResults(
    () => {
      computed += 1;
      return null;
    },
    { entriesMax: 1, charactersMax: 3 },
  );
  assert.deepEqual([nothing('a'), nothing('a')], [null, null]);
  assert.equal(computed, 1);
});
