// The pool of guests' addresses: one owner for each, in numeric order, with a rest between two owners.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { AddressPool } from '../../../src/engine/network/addresses.ts';
import { parseIpv4 } from '../../../src/lib/net/ipv4.ts';

const QUARANTINE_MS = 1_000;
const HOST = '10.0.0.1';

/** `at(ms)` is the pool at that moment. */
function poolOf(prefixLength: number): { at(ms: number): AddressPool } {
  const base = parseIpv4('10.0.0.0') ?? 0;
  let monotonicMs = 0;
  const clock = { nowMs: () => 0, monotonicMs: () => monotonicMs, uptimeMs: () => 0, bootId: '' };
  const pool = new AddressPool({ base, prefixLength }, HOST, QUARANTINE_MS, [], clock);
  return {
    at: (ms) => {
      monotonicMs = ms;
      return pool;
    },
  };
}

suite('the pool of addresses', () => {
  test('gives out numbers, not texts: .9 is no later than .10 because of its digits', () => {
    const pool = poolOf(28);
    const given = Array.from({ length: 13 }, (_, index) => pool.at(0).lease(index + 1));
    // From .10 on to the end, then what lies before it, without the host's own.
    const ends = [10, 11, 12, 13, 14, 2, 3, 4, 5, 6, 7, 8, 9];
    assert.deepEqual(
      given,
      ends.map((end) => `10.0.0.${end}`),
    );
  });

  test('is exhausted with a code, and has room with the first address that is given back', () => {
    const pool = poolOf(28);
    for (let vmId = 1; vmId <= 13; vmId += 1) pool.at(0).lease(vmId);
    assert.throws(() => pool.at(0).lease(14), { code: 'ADDRESS_POOL_EXHAUSTED' });
    pool.at(10).release('10.0.0.12');
    // It rests, but no other is left.
    assert.equal(pool.at(11).lease(14), '10.0.0.12');
    assert.throws(() => pool.at(12).lease(15), { code: 'ADDRESS_POOL_EXHAUSTED' });
  });

  test('lets an address rest between two owners while there are others', () => {
    const pool = poolOf(24);
    const first = pool.at(0).lease(1);
    pool.at(100).release(first);
    assert.notEqual(pool.at(100 + QUARANTINE_MS - 1).lease(2), first);
    assert.equal(pool.at(100 + QUARANTINE_MS).lease(3), first);
  });

  test('never has two owners of one address, whatever is leased, claimed and given back', () => {
    const pool = poolOf(27);
    const owners = new Map<string, number>();
    let state = 7;
    const random = (below: number) => {
      state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (let step = 1; step <= 20_000; step += 1) {
      const kind = random(4);
      const address = `10.0.0.${random(32)}`;
      if (kind === 0) {
        if (owners.size === 29) continue;
        const given = pool.at(step).lease(step);
        assert.ok(!owners.has(given), `step ${step}: ${given} has an owner`);
        owners.set(given, step);
      } else if (kind === 1) {
        const refusal = pool.at(step).claim(address, step);
        const owner = owners.get(address);
        if (owner !== undefined) assert.deepEqual(refusal, { refused: owner });
        else if (refusal === null) owners.set(address, step);
        else assert.equal(refusal.refused, 'outside');
      } else {
        pool.at(step).release(address);
        owners.delete(address);
      }
      assert.equal(pool.at(step).holderOf(address), owners.get(address) ?? null);
    }
    assert.ok(owners.size > 0);
  });
});
