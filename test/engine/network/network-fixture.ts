// test helpers: a guests' network with three guests, as it is wanted, and as it is seen when nothing is wrong.

import type {
  SeenNetwork,
  WantedGuest,
  WantedNetwork,
} from '../../../src/engine/ports/network-ports.ts';

export const SPEC = {
  bridge: 'vbr0',
  hostIp: '10.0.0.1',
  prefixLength: 24,
  subnet: '10.0.0.0/24',
  exposeAddress: '0.0.0.0',
};
export const FORWARD = {
  protocol: 'tcp',
  hostPort: 8080,
  targets: [
    { address: '10.0.0.2', port: 80 },
    { address: '10.0.0.3', port: 80 },
  ],
} as const;

export const guest = (vmId: number): WantedGuest => ({
  vmId,
  guest: {
    tapName: `vtfade-${vmId}`,
    macAddress: `02:fa:00:00:00:0${vmId}`,
    ipAddress: `10.0.0.${vmId}`,
    asksForLease: vmId === 3,
  },
  bridgeNumber: 0,
  isAlive: true,
});

/** Three guests that run; the last one asks for its address. */
export const WANTED: WantedNetwork = {
  spec: SPEC,
  isNeeded: true,
  antiSpoofing: true,
  guests: [guest(1), guest(2), guest(3)],
  forwards: [FORWARD, { ...FORWARD, hostPort: 9090, targets: [] }],
};

export const entry = (vmId: number, ipAddress: string | null = `10.0.0.${vmId}`) => ({
  tapName: `vtfade-${vmId}`,
  macAddress: `02:fa:00:00:00:0${vmId}`,
  ipAddress,
});
export const tap = (vmId: number) => ({
  name: `vtfade-${vmId}`,
  bridgeNumber: 0 as number | null,
  isUp: true,
});
export const ENTRIES = [entry(1), entry(2), entry(3), entry(3, '0.0.0.0')];

/** Just as it is wanted. */
export const SEEN: SeenNetwork = {
  bridge: { isUp: true, addresses: ['10.0.0.1/24', '172.16.0.9/16'] },
  taps: [tap(1), tap(2), tap(3)],
  secondaryBridges: [],
  nat: 'right',
  filter: {
    rules: 'right',
    entries: ENTRIES,
    taken: ['10.0.0.1', '172.16.0.9', '10.0.0.1', '10.0.0.2', '10.0.0.3'],
    owners: [1, 2, 3].map((vmId) => ({ tapName: tap(vmId).name, ipAddress: `10.0.0.${vmId}` })),
  },
  ports: { rules: 'right', forwards: [{ ...FORWARD, targets: [...FORWARD.targets].reverse() }] },
  egress: { rules: 'right', entries: [] },
  ipForward: true,
  routeLocalnet: true,
};
