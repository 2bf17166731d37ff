// What differs between the guests' network as it should be and as the kernel has it, and what is done about it.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { sentenceOf } from '../../../src/engine/network/drift-reporter.ts';
import {
  type NetworkDifference,
  networkDifferences,
} from '../../../src/engine/network/network-differences.ts';
import { repairOf } from '../../../src/engine/network/network-repair.ts';
import { wantedGuests, wantedNetwork } from '../../../src/engine/network/wanted-network.ts';
import type { SeenNetwork, WantedNetwork } from '../../../src/engine/ports/network-ports.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import { policyIdOf } from '../../../src/lib/net/egress.ts';
import { ENTRIES, entry, FORWARD, guest, SEEN, SPEC, tap, WANTED } from './network-fixture.ts';

const textOf = ({ kind, subject, vmId, remedy }: NetworkDifference) =>
  `${kind} ${subject} ${vmId} ${remedy}`;
const differencesOf = (seen: Partial<SeenNetwork>, wanted: Partial<WantedNetwork> = {}) =>
  networkDifferences({ ...WANTED, ...wanted }, { ...SEEN, ...seen }).map(textOf);

const RULES = { default: 'deny', allow: ['10.1.0.0/16'], deny: [] } as const;

/** The second guest with egress rules. */
const HELD: Partial<WantedNetwork> = {
  guests: WANTED.guests.map((one) =>
    one.vmId === 2 ? { ...one, guest: { ...one.guest, egress: RULES } } : one,
  ),
};

test('a guest that is not held to its egress rules, or to those of others, is found', () => {
  const entryOf = (policyId: string | null) => ({
    tapName: 'vtfade-2',
    ipAddress: '10.0.0.2',
    policyId,
  });
  const right = entryOf(policyIdOf(RULES));
  const egress = (change: Partial<SeenNetwork['egress']>) =>
    differencesOf({ egress: { rules: 'right', entries: [right], ...change } }, HELD);
  assert.deepEqual(egress({}), []);
  const wrong = ['egress-entry-wrong vtfade-2 2 make-egress'];
  assert.deepEqual(egress({ entries: [] }), wrong);
  assert.deepEqual(egress({ entries: [entryOf(null)] }), wrong, 'a part of it');
  assert.deepEqual(egress({ entries: [entryOf('p1')] }), wrong, 'earlier rules');
  assert.deepEqual(egress({ entries: [{ ...right, ipAddress: '10.0.0.9' }] }), wrong);
  assert.deepEqual(egress({ rules: 'missing', entries: [] }), [
    'egress-missing egress rules null make-egress',
  ]);
  assert.deepEqual(egress({ rules: 'changed' }), ['egress-changed egress rules null make-egress']);
  const stray = { ...right, tapName: 'vtfade-1', ipAddress: '10.0.0.1' };
  assert.deepEqual(egress({ entries: [right, stray] }), [
    'egress-entry-stray vtfade-1 null make-egress',
  ]);
  const half = { tapName: '', policyId: null };
  assert.deepEqual(egress({ entries: [right, { ...half, ipAddress: '10.0.0.9' }] }), [
    'egress-entry-stray 10.0.0.9 null make-egress',
  ]);
  // Its tap was read after it had left.
  const leaving = (HELD.guests ?? []).map((one) => ({ ...one, isAlive: false }));
  const onlyAddress = { rules: 'right', entries: [{ ...half, ipAddress: '10.0.0.2' }] } as const;
  assert.deepEqual(differencesOf({ egress: onlyAddress }, { ...HELD, guests: leaving }), []);
  const found = networkDifferences(
    { ...WANTED, ...HELD },
    { ...SEEN, egress: { rules: 'right', entries: [stray] } },
  );
  const repair = repairOf({ ...WANTED, ...HELD }, found);
  assert.deepEqual(
    repair?.egress?.admitted,
    HELD.guests?.map((one) => one.guest),
  );
});

suite('the difference between what is wanted and what is seen', () => {
  test('is nothing where all is as it should be, wherever rounds of targets begin', () => {
    assert.deepEqual(differencesOf({}), []);
  });

  const filter = (change: Partial<SeenNetwork['filter']>) => ({
    filter: { ...SEEN.filter, ...change },
  });
  const cases: readonly [string, Partial<SeenNetwork>, readonly string[]][] = [
    ['no bridge', { bridge: null }, ['bridge-missing vbr0 null make-network']],
    [
      'a bridge that is down, without its address',
      { bridge: { isUp: false, addresses: ['172.16.0.9/16'] } },
      [
        'bridge-down vbr0 null make-network',
        'bridge-address-missing 10.0.0.1/24 null make-network',
      ],
    ],
    [
      'no forwarding',
      { ipForward: false },
      ['forwarding-off net.ipv4.ip_forward null make-network'],
    ],
    ['no NAT', { nat: 'missing' }, ['nat-missing NAT null make-network']],
    ['other NAT', { nat: 'changed' }, ['nat-changed NAT null make-network']],
    [
      'no filter: it is reported once',
      filter({ rules: 'missing', entries: [], taken: [], owners: [] }),
      ['filter-missing filter null make-filter'],
    ],
    ['other rules', filter({ rules: 'changed' }), ['filter-changed filter null make-filter']],
    [
      'a guest that may not ask for its address',
      filter({ entries: ENTRIES.slice(0, 3) }),
      ['filter-entry-missing vtfade-3 3 make-filter'],
    ],
    [
      'somebody who may send and is nobody’s',
      filter({ entries: [...ENTRIES, entry(7), entry(7, null)] }),
      ['filter-entry-stray vtfade-7 null make-filter'],
    ],
    [
      'a guest that nobody can ask for its address',
      filter({ owners: SEEN.filter.owners.filter(({ tapName }) => tapName !== 'vtfade-2') }),
      ['filter-entry-missing vtfade-2 2 make-filter'],
    ],
    [
      'somebody who is asked and is nobody’s',
      filter({ owners: [...SEEN.filter.owners, { tapName: 'vtfade-7', ipAddress: '10.0.0.2' }] }),
      ['filter-entry-stray vtfade-7 null make-filter'],
    ],
    [
      'an address that others may use',
      filter({ taken: SEEN.filter.taken.filter((address) => address !== '172.16.0.9') }),
      ['filter-changed filter null make-filter'],
    ],
    [
      'no host ports',
      { ports: { rules: 'missing', forwards: [] } },
      ['ports-missing host ports null make-ports'],
    ],
    [
      'a host port that leads elsewhere',
      {
        ports: {
          rules: 'right',
          forwards: [{ ...FORWARD, targets: FORWARD.targets.slice(0, 1) }],
        },
      },
      ['ports-changed host ports null make-ports'],
    ],
    [
      'host ports that the loopback does not reach',
      { routeLocalnet: false },
      ['ports-changed host ports null make-ports'],
    ],
    ['a tap that is gone', { taps: [tap(1), tap(2)] }, ['tap-missing vtfade-3 3 restart-vm']],
    [
      'taps that are loose, on another bridge, down',
      {
        taps: [
          { ...tap(1), bridgeNumber: null },
          { ...tap(2), bridgeNumber: 4 },
          { ...tap(3), isUp: false },
        ],
      },
      [
        'tap-loose vtfade-1 1 join-tap',
        'tap-loose vtfade-2 2 join-tap',
        'tap-down vtfade-3 3 join-tap',
      ],
    ],
  ];
  for (const [name, seen, expected] of cases) {
    test(`is reported: ${name}`, () => assert.deepEqual(differencesOf(seen), expected));
  }

  test('does not count guests that come or go, nor rules that nobody needs yet', () => {
    const coming = WANTED.guests.map((target) => ({ ...target, isAlive: false }));
    const nothing: SeenNetwork = {
      ...SEEN,
      bridge: null,
      taps: [],
      nat: 'missing',
      filter: { rules: 'missing', entries: [], taken: [], owners: [] },
      ports: { rules: 'missing', forwards: [] },
      ipForward: false,
    };
    const wanted = { guests: coming, isNeeded: false, forwards: [] };
    assert.deepEqual(differencesOf(nothing, wanted), []);
    assert.deepEqual(differencesOf(SEEN, { ...wanted, isNeeded: true, forwards: null }), []);
  });

  test('knows bridges for more guests, and those for guests without a known address', () => {
    const unknown = { ...guest(1), bridgeNumber: null };
    const wanted = { guests: [unknown, { ...guest(2), bridgeNumber: 2 }], forwards: null };
    const taps = [
      { ...tap(1), bridgeNumber: 100_000 },
      { ...tap(2), bridgeNumber: 2 },
    ];
    const whole = { bridgeNumber: 2, isWhole: true };
    const seen = { taps, filter: { ...SEEN.filter, rules: 'missing' as const } };
    const reported = (more: Partial<SeenNetwork>) =>
      differencesOf({ ...seen, ...more }, wanted).filter((text) => !text.startsWith('filter'));
    assert.deepEqual(
      reported({ secondaryBridges: [whole, { bridgeNumber: 100_000, isWhole: true }] }),
      [],
    );
    assert.deepEqual(reported({ secondaryBridges: [{ ...whole, isWhole: false }] }), [
      'shard-broken 2 null make-shard',
    ]);
    assert.deepEqual(reported({ taps: [tap(1), taps[1] ?? tap(2)] }), [
      'tap-loose vtfade-1 1 join-tap',
    ]);
  });
});

suite('what is wanted of the network', () => {
  const record = (id: number, change: object = {}) =>
    ({
      id,
      status: 'running',
      process: { pid: 1 },
      networkMode: 'bridged',
      leases: { tapName: `vtfade-${id}`, macAddress: 'mac', ipAddress: `10.0.0.${id}` },
      observed: { isReleased: false },
      ...change,
    }) as unknown as VmRecord;
  const facts = { bridgeNumberOf: () => 0, isAlive: () => true };

  test('follows from what is given back, and not from whether there is a process', () => {
    const records = [
      record(1),
      record(2, { status: 'starting', process: null }),
      record(3, { status: 'stopped', process: null, observed: { isReleased: true } }),
      record(4, { leases: { tapName: null } }),
    ];
    const guests = wantedGuests({ ...facts, records });
    assert.deepEqual(
      guests.map(({ vmId, isAlive }) => [vmId, isAlive]),
      [
        [1, true],
        [2, false],
      ],
    );
  });

  test('is nothing before a guest runs', () => {
    const of = (isMade: boolean, isAlive: boolean) =>
      wantedNetwork({
        spec: SPEC,
        antiSpoofing: true,
        forwards: null,
        isMade,
        bridgeNumberOf: () => 0,
        isAlive: () => isAlive,
        records: [record(1)],
      }).isNeeded;
    assert.deepEqual([of(false, false), of(false, true), of(true, false)], [false, true, true]);
  });
});

test('what is asked of the host are the remedies of all differences, and no more', () => {
  const seen: SeenNetwork = {
    ...SEEN,
    nat: 'missing',
    taps: [{ ...tap(1), bridgeNumber: null }, tap(2), tap(3)],
    filter: { ...SEEN.filter, entries: [...ENTRIES.slice(1), entry(7)] },
  };
  const repair = repairOf(WANTED, networkDifferences(WANTED, seen));
  assert.deepEqual(repair, {
    network: true,
    filter: { admitted: [guest(1).guest], left: ['vtfade-7'] },
    egress: null,
    forwards: null,
    secondaryBridges: [],
    taps: [{ tapName: 'vtfade-1', bridgeNumber: 0 }],
  });
  const lost = networkDifferences(WANTED, { ...SEEN, taps: [tap(1), tap(2)] });
  assert.equal(repairOf(WANTED, lost), null, 'a hypervisor cannot be given another tap');
});

test('each difference is reported in a sentence', () => {
  const [gone] = networkDifferences(WANTED, { ...SEEN, taps: [tap(1), tap(2)] });
  assert.ok(gone !== undefined);
  assert.match(sentenceOf(gone, false), /vtfade-3 .* deleted on the host: restart the VM/);
  const [down] = networkDifferences(WANTED, { ...SEEN, bridge: { isUp: false, addresses: [] } });
  assert.ok(down !== undefined);
  assert.equal(sentenceOf(down, true), 'Bridge vbr0 was down: it is up again');
  assert.match(sentenceOf(down, false), /could not be repaired yet/);
});
