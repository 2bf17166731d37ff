// workers: the filter of the bridge follows what is wanted of it by differences, and is made anew when one fails.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { GuestIdentity, NetworkSpec } from '../../src/engine/network-ports.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { GuestFilter } from '../../src/workers/guest-filter.ts';
import { lostPartOf } from '../../src/workers/network-news.ts';
import type { HostSettings, JobName, Run } from '../../src/workers/protocol.ts';

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
    filter.know([guest(1)]);
    await filter.make(SPEC);
    assert.deepEqual(taps(), ['vtfade-1']);
    assert.equal(filter.rules, 'rules');
    await Promise.all([
      filter.admit(SPEC, guest(2)),
      filter.admit(SPEC, guest(3)),
      filter.leave('vtfade-1'),
    ]);
    assert.deepEqual(taps(), ['vtfade-2', 'vtfade-3']);
    assert.deepEqual(kernel.jobs, ['makeGuestFilter', 'changeGuestFilter']);
  });

  test('is made anew when a difference fails', async () => {
    const { kernel, filter, taps } = createKernel();
    await filter.make(SPEC);
    await filter.admit(SPEC, guest(1));
    kernel.failing = true;
    kernel.set = new Set(['vtfade-50']);
    await filter.admit(SPEC, guest(2));
    assert.deepEqual(taps(), ['vtfade-1', 'vtfade-2']);
    assert.equal(kernel.jobs.at(-1), 'makeGuestFilter');
  });

  test('is made anew by the next change when it could not be made', async () => {
    const { kernel, filter, taps } = createKernel();
    kernel.failing = true;
    filter.know([guest(1), guest(2)]);
    await assert.rejects(filter.make(SPEC), { code: 'HOST_OPERATION_FAILED' });
    assert.equal(filter.rules, undefined);
    await filter.leave('vtfade-1');
    assert.deepEqual(taps(), ['vtfade-2']);
  });

  test('does not let pass who left before it was told who is there, nor who leaves while it is made', async () => {
    const { filter, taps } = createKernel();
    await filter.leave('vtfade-1');
    filter.know([guest(1), guest(2), guest(3)]);
    assert.equal(filter.knows('vtfade-1'), false);
    await Promise.all([filter.make(SPEC), filter.leave('vtfade-2')]);
    assert.deepEqual(taps(), ['vtfade-3']);
  });

  test('lets pass who was admitted before it was told who is there', async () => {
    const { filter, taps } = createKernel();
    await filter.leave('vtfade-1');
    await filter.admit(SPEC, guest(1));
    filter.know([guest(2)]);
    await filter.make(SPEC);
    assert.deepEqual(taps(), ['vtfade-1', 'vtfade-2']);
  });

  test('knows guests without a set of them where they may send what they like', async () => {
    const { kernel, filter, taps } = createKernel({ antiSpoofing: false });
    filter.know([guest(1)]);
    await filter.make(SPEC);
    await filter.admit(SPEC, guest(2));
    await filter.leave('vtfade-1');
    assert.deepEqual([taps(), kernel.jobs], [[], ['makeGuestFilter']]);
    assert.deepEqual([filter.knows('vtfade-1'), filter.knows('vtfade-2')], [false, true]);
  });
});

test('news of the kernel concern a tap of ours, the rest of our network, or nobody here', () => {
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
