// The kernel's list of connections, read for those that proceed to one guest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionsIn } from '../../../../src/host/jobs/network/tracked-connections.ts';

const line = (
  protocol: string,
  state: string,
  meantFor: string,
  answersFrom: string,
  port = 8080,
) =>
  `ipv4     2 ${protocol}      6 431999 ${state} src=10.0.0.9 dst=${meantFor} sport=51000 dport=80 ` +
  `src=${answersFrom} dst=10.0.0.9 sport=${port} dport=51000 [ASSURED] mark=0 zone=0 use=2`;

test('a connection counts that a host port has led to the guest and that continues', () => {
  const guest = '192.168.127.10';
  const target = { address: guest, port: 8080 };
  const counted = [
    line('tcp', 'ESTABLISHED', '10.0.0.1', guest),
    line('tcp', 'CLOSE_WAIT', '10.0.0.1', guest),
  ];
  const others = [
    line('tcp', 'TIME_WAIT', '10.0.0.1', guest),
    line('tcp', 'CLOSE', '10.0.0.1', guest),
    line('tcp', 'ESTABLISHED', guest, guest),
    line('tcp', 'ESTABLISHED', '10.0.0.1', '192.168.127.11'),
    line('tcp', 'ESTABLISHED', '10.0.0.1', guest, 9090),
    'ipv4     2 udp      17 29 src=10.0.0.9 dst=10.0.0.1 sport=5000 dport=80 src=192.168.127.10 ' +
      'dst=10.0.0.9 sport=8080 dport=5000 mark=0 use=2',
    '',
  ];
  assert.equal(connectionsIn([...counted, ...others].join('\n'), [target]), counted.length);
  assert.equal(connectionsIn(others.join('\n'), [target]), 0);
});
