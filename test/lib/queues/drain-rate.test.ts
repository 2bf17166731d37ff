// lib: when a refused client should try again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DrainRate } from '../../../src/lib/queues/drain-rate.ts';

/** So many ends, evenly, between two times, while something waits. */
function ends(rate: DrainRate, count: number, fromMs: number, toMs: number): void {
  rate.full(fromMs);
  for (let index = 1; index <= count; index += 1) {
    rate.ended(fromMs + (index * (toMs - fromMs)) / count);
  }
}

function near(found: number, wanted: number): void {
  assert.ok(Math.abs(found - wanted) <= wanted * 0.1 + 1, `${found} s, not about ${wanted} s`);
}

test('a line that does not move is asked for again at the longest pause', () => {
  const rate = new DrainRate(120, 50);
  rate.full(5_000);
  assert.equal(rate.secondsFor(1, 10_000), 120);
  assert.equal(rate.secondsFor(4_096, 10_000), 120);
});

test('one that nothing is known of yet is taken for as fast as it was said to be', () => {
  const rate = new DrainRate(120, 50);
  rate.full(5_000);
  assert.equal(rate.secondsFor(1_000, 5_000), 20);
});

test('it is the time that the line takes at its present pace', () => {
  const rate = new DrainRate(120, 10);
  ends(rate, 1_000, 100_000, 120_000);
  near(rate.secondsFor(3_000, 120_000), 60);
  near(rate.secondsFor(500, 120_000), 10);
});

test('what came while nothing waited does not count: it says nothing about the pace of the line', () => {
  const rate = new DrainRate(120, 10);
  ends(rate, 1_000, 100_000, 110_000);
  rate.empty(110_000);
  for (let nowMs = 111_000; nowMs < 300_000; nowMs += 1_000) rate.ended(nowMs);
  near(rate.secondsFor(3_000, 300_000), 30);
});

test('it is a whole second at least, and never more than the longest', () => {
  const rate = new DrainRate(120, 10);
  ends(rate, 20_000, 100_000, 110_000);
  assert.equal(rate.secondsFor(1, 110_000), 1);
  assert.equal(rate.secondsFor(1_000_000, 110_000), 120);
});

test('a line that has just begun to move is measured by the time that it has', () => {
  const rate = new DrainRate(120, 1);
  ends(rate, 100, 1_000_000, 1_002_000);
  near(rate.secondsFor(1_000, 1_002_000), 20);
});

test('what was fast once and stands still now is not taken for fast', () => {
  const rate = new DrainRate(120, 50);
  ends(rate, 1_000, 0, 10_000);
  assert.ok(rate.secondsFor(1_000, 40_000) > 60);
});

test('what it was at first is forgotten: the pace is that of the last seconds', () => {
  const rate = new DrainRate(120, 50);
  ends(rate, 10_000, 0, 10_000);
  ends(rate, 400, 10_000, 50_000);
  assert.ok(rate.secondsFor(100, 50_000) >= 5, `${rate.secondsFor(100, 50_000)} s`);
});
