// scripts: when a dead daemon is restarted, and how settings of two environments are compared.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadScript } from './load.ts';

const { HEALTHY_AFTER_MS, nextPauseMs, PAUSE_MAX_MS, PAUSE_MIN_MS } = await loadScript<{
  HEALTHY_AFTER_MS: number;
  nextPauseMs(previousPauseMs: number | null, livedMs: number): number;
  PAUSE_MAX_MS: number;
  PAUSE_MIN_MS: number;
}>('lib/service/restarts.mjs');
const { differences } = await loadScript<{
  differences(names: string[], running: object, wanted: object): string[];
}>('lib/service/settings.mjs');

test('pauses double up to the longest, and begin again after a healthy life', () => {
  const pauses = [PAUSE_MIN_MS];
  while (pauses.length < 10) pauses.push(nextPauseMs(pauses.at(-1) ?? null, 100));
  assert.deepEqual(pauses.slice(0, 4), [500, 1_000, 2_000, 4_000]);
  assert.equal(pauses.at(-1), PAUSE_MAX_MS);
  assert.equal(nextPauseMs(null, 0), PAUSE_MIN_MS);
  assert.equal(nextPauseMs(PAUSE_MAX_MS, HEALTHY_AFTER_MS), PAUSE_MIN_MS);
});

test('settings that differ are named, secrets without their values', () => {
  const names = ['VOLANT_API_KEY', 'VOLANT_BRIDGE', 'VOLANT_HOME', 'VOLANT_LOG_FILE'];
  assert.deepEqual(differences(names, { VOLANT_HOME: '/a' }, { VOLANT_HOME: '/b' }), []);
  assert.deepEqual(differences(names, { VOLANT_BRIDGE: ' ' }, {}), [], 'empty is not set');
  assert.deepEqual(differences(names, { VOLANT_LOG_FILE: '/x' }, {}), []);
  assert.deepEqual(differences(names, { VOLANT_BRIDGE: 'a' }, { VOLANT_BRIDGE: 'b' }), [
    'VOLANT_BRIDGE is a there and b here',
  ]);
  const keys = differences(names, { VOLANT_API_KEY: 'old' }, { VOLANT_API_KEY: 'new' });
  assert.deepEqual(keys, ['VOLANT_API_KEY differs here']);
  assert.deepEqual(differences(['VOLANT_DNS'], { OTHER: '1' }, { OTHER: '2' }), []);
});
