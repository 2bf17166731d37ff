// workers: the filter of the bridge follows what is wanted of it by differences, and is made again when one fails.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { GuestIdentity, NetworkSpec } from '../../../src/engine/ports/network-ports.ts';
import type { HostSettings, JobName, Run } from '../../../src/host/jobs/protocol.ts';
import { GuestFilter } from '../../../src/host/network/guest-filter.ts';
import { lostPartOf } from '../../../src/host/network/network-losses.ts';
import { VolantError } from '../../../src/lib/errors.ts';

const SPEC = { bridge: 'vbr0' } as NetworkSpec;

const guest = (number: number): GuestIdentity => ({
  tapName: `vtfade-${number}`,
  macAddress: `02:fa:00:00:00:0${number}`,
  ipAddress: `10.0.0.${number}`,
  asksForLease: false,
});

interface Argument {
  readonly guests?: readonly GuestIdentity[];
  readonly admitted?: readonly GuestIdentity[];
  readonly left?: readonly GuestIdentity[];
}

/** A kernel whose set is changed by the jobs. */
function createKernel({ antiSpoofing = true } = {}) {
  const kernel = { set: new Set<string>(['vtfade-99']), jobs: [] as JobName[], failing: false };
  const run = (async (name: JobName, { guests, admitted, left }: Argument) => {
    kernel.jobs.push(name);
    await Promise.resolve();
    if (kernel.failing) {
      kernel.failing = false;
      throw new VolantError('HOST_OPERATION_FAILED');
    }
    if (guests !== undefined) kernel.set = new Set(guests.map(({ tapName }) => tapName));
    for (const { tapName } of left ?? []) kernel.set.delete(tapName);
    for (const { tapName } of admitted ?? []) kernel.set.add(tapName);
    return name === 'makeGuestFilter' ? 'rules' : null;
  }) as unknown as Run;
  const filter = new GuestFilter({ antiSpoofing } as HostSettings, run);
  const taps = () => [...kernel.set].sort();
  return { kernel, filter, taps };
}

suite('the filter of the bridge', () => {
  test('is made of those who are there, and follows by differences that share a job', async () => {
    const { kernel, filter, taps } = createKernel();
    filter.addExisting([guest(1)]);
    await filter.make(SPEC);
    assert.deepEqual(taps(), ['vtfade-1']);
    assert.equal(filter.rules, 'rules');
    await Promise.all([
      filter.add(SPEC, guest(2)),
      filter.add(SPEC, guest(3)),
      filter.remove('vtfade-1'),
    ]);
    assert.deepEqual(taps(), ['vtfade-2', 'vtfade-3']);
    assert.deepEqual(kernel.jobs, ['makeGuestFilter', 'changeGuestFilter']);
  });

  test('is made again when a difference fails', async () => {
    const { kernel, filter, taps } = createKernel();
    await filter.make(SPEC);
    await filter.add(SPEC, guest(1));
    kernel.failing = true;
    kernel.set = new Set(['vtfade-50']);
    await filter.add(SPEC, guest(2));
    assert.deepEqual(taps(), ['vtfade-1', 'vtfade-2']);
    assert.equal(kernel.jobs.at(-1), 'makeGuestFilter');
  });

  test('is made again by the next change when it could not be made', async () => {
    const { kernel, filter, taps } = createKernel();
    kernel.failing = true;
    filter.addExisting([guest(1), guest(2)]);
    await assert.rejects(filter.make(SPEC), { code: 'HOST_OPERATION_FAILED' });
    assert.equal(filter.rules, undefined);
    await filter.remove('vtfade-1');
    assert.deepEqual(taps(), ['vtfade-2']);
  });

  test('does not pass a guest that left before the guests are known, nor one that leaves while it is made', async () => {
    const { filter, taps } = createKernel();
    await filter.remove('vtfade-1');
    filter.addExisting([guest(1), guest(2), guest(3)]);
    assert.equal(filter.has('vtfade-1'), false);
    await Promise.all([filter.make(SPEC), filter.remove('vtfade-2')]);
    assert.deepEqual(taps(), ['vtfade-3']);
  });

  test('passes a guest that was admitted before the guests are known', async () => {
    const { filter, taps } = createKernel();
    await filter.remove('vtfade-1');
    await filter.add(SPEC, guest(1));
    filter.addExisting([guest(2)]);
    await filter.make(SPEC);
    assert.deepEqual(taps(), ['vtfade-1', 'vtfade-2']);
  });

  test('knows guests without a set of them where they may send what they like', async () => {
    const { kernel, filter, taps } = createKernel({ antiSpoofing: false });
    filter.addExisting([guest(1)]);
    await filter.make(SPEC);
    await filter.add(SPEC, guest(2));
    await filter.remove('vtfade-1');
    assert.deepEqual([taps(), kernel.jobs], [[], ['makeGuestFilter']]);
    assert.deepEqual([filter.has('vtfade-1'), filter.has('vtfade-2')], [false, true]);
  });
});

test('notices of the kernel concern a tap of ours, the rest of our network, or nobody here', () => {
  const part = (kind: Parameters<typeof lostPartOf>[0]['kind'], name: string) =>
    lostPartOf({ kind, name }, 'fade', 'vbr0')?.tapName;
  assert.equal(part('gone', 'vtfade-1'), 'vtfade-1');
  assert.equal(part('loose', 'vtfade-1'), 'vtfade-1');
  for (const [kind, name] of [
    ['gone', 'vbr0'],
    ['down', 'vbr0'],
    ['address', 'vbr0'],
    ['gone', 'vbfade-2'],
    ['loose', 'vufade-2'],
    ['table', 'volant_fade'],
    ['table', 'volant_fade_ports'],
    ['rule', 'volant_fade'],
    ['missed', ''],
  ] as const) {
    assert.equal(part(kind, name), null, `${kind} ${name}`);
  }
  for (const [kind, name] of [
    ['loose', 'vbr0'],
    ['gone', 'vtbeef-1'],
    ['gone', 'eth0'],
    ['address', 'eth0'],
    ['table', 'filter'],
    ['rule', 'volant_fade_ports'],
    ['loose', 'vbfade-2'],
  ] as const) {
    assert.equal(part(kind, name), undefined, `${kind} ${name}`);
  }
});
