// lib: whose turn it is in a queue of many clients.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairQueue } from '../../../src/lib/queues/fair-queue.ts';

function drain(queue: FairQueue<string>): string {
  const order: string[] = [];
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) order.push(item);
  return order.join(' ');
}

test('clients are served in turn, and each client in its own order', () => {
  const queue = new FairQueue<string>();
  for (const item of ['a1', 'a2', 'a3']) queue.push('a', item);
  for (const item of ['b1', 'b2']) queue.push('b', item);
  assert.deepEqual([queue.size, queue.clients, queue.sizeOf('a')], [5, 2, 3]);
  assert.equal(queue.peek(), 'a1');
  assert.equal(drain(queue), 'a1 b1 a2 b2 a3');
  assert.deepEqual([queue.size, queue.clients, queue.peek()], [0, 0, undefined]);
});

test('one that comes repeatedly does not keep another from its turn', () => {
  const queue = new FairQueue<string>();
  for (let index = 0; index < 10; index += 1) queue.push('many', 'many');
  const order: string[] = [];
  for (let index = 0; index < 10; index += 1) {
    queue.push('again', 'again');
    order.push(queue.shift() ?? '');
  }
  assert.ok(order.filter((item) => item === 'many').length >= 4, order.join(' '));
  assert.ok(order.filter((item) => item === 'again').length >= 4, order.join(' '));
});

test('who was away has saved nothing up', () => {
  const queue = new FairQueue<string>();
  for (let index = 0; index < 100; index += 1) queue.push('a', 'a');
  for (let index = 0; index < 50; index += 1) queue.shift();
  for (let index = 0; index < 10; index += 1) queue.push('b', 'b');
  const next = Array.from({ length: 10 }, () => queue.shift());
  assert.ok(next.filter((item) => item === 'a').length >= 4, next.join(' '));
});

test('what is urgent goes before the rest of its client, and only of that', () => {
  const queue = new FairQueue<string>();
  queue.push('a', 'a1');
  queue.push('b', 'b1');
  queue.push('a', 'a2', { isUrgent: true });
  assert.equal(drain(queue), 'a2 b1 a1');
});

test('what gives up is gone, whatever client it was of', () => {
  const queue = new FairQueue<string>();
  for (const item of ['a1', 'a2', 'a3']) queue.push('a', item);
  queue.remove('a', 'a2');
  queue.remove('a', 'unknown');
  queue.remove('nobody', 'a1');
  assert.equal(queue.size, 2);
  assert.equal(drain(queue), 'a1 a3');
});
