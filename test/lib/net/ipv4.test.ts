// lib: addresses as numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpv4, parseIpv4 } from '../../../src/lib/net/ipv4.ts';

test('a dotted quad is its number, and the number its dotted quad', () => {
  for (const text of ['0.0.0.0', '1.2.3.4', '10.88.0.1', '100.20.3.0', '255.255.255.255']) {
    const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
    assert.equal(parseIpv4(text), ((a * 256 + b) * 256 + c) * 256 + d);
    assert.equal(formatIpv4(parseIpv4(text) ?? 0), text);
  }
});

test('what is no dotted quad is none', () => {
  const wrong = ['', '.', '...', '1.2.3', '1.2.3.4.5', '1..3.4', '1.2.3.', '.1.2.3', '1.2.3.a'];
  const values = ['256.1.1.1', '1.2.3.999', '01.2.3.4', '1.2.3.04', '00.0.0.0', '0000.1.1.1'];
  const signs = [
    ' 1.2.3.4',
    '1.2.3.4 ',
    '1.2.3.-4',
    '+1.2.3.4',
    '1e1.2.3.4',
    '1.2.3.4\n',
    '１.2.3.4',
  ];
  for (const text of [...wrong, ...values, ...signs]) assert.equal(parseIpv4(text), null, text);
});
