// lib, net: entries of egress rules.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  covers,
  type EgressEntry,
  formatEgressEntry,
  parseEgressEntry,
  policyIdOf,
  policyOf,
} from '../../../src/lib/net/egress.ts';

function entry(text: string): EgressEntry {
  const parsed = parseEgressEntry(text);
  if (typeof parsed === 'string') throw new Error(`${text}: ${parsed}`);
  return parsed;
}

test('an entry has one normal form', () => {
  const forms = [
    ['203.0.113.7', '203.0.113.7'],
    [' 203.0.113.7/32 ', '203.0.113.7'],
    ['10.0.0.0/8:443', '10.0.0.0/8:443'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['10.0.0.1:80-80', '10.0.0.1:80'],
    ['10.0.0.1:8000-8100', '10.0.0.1:8000-8100'],
    ['Example.ORG.', 'example.org'],
    ['*.Example.org:443', '*.example.org:443'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['*.BÜCHER.example', '*.xn--bcher-kva.example'],
    ['db', 'db'],
    ['_sip.example.org', '_sip.example.org'],
  ];
  for (const [text = '', normal] of forms) {
    assert.equal(formatEgressEntry(entry(text)), normal);
    assert.equal(formatEgressEntry(entry(normal ?? '')), normal, 'and keeps it');
  }
});

test('what is wrong with an entry is said', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /empty/],
    ['10.0.0.1/8', /write 10\.0\.0\.0\/8/],
    ['10.0.0.0/33', /prefix length/],
    ['10.0.0.0/', /prefix length/],
    ['10.0.0', /IPv4 address/],
    ['256.0.0.1', /IPv4 address/],
    ['010.0.0.1', /IPv4 address/],
    ['::1', /IPv6/],
    ['[2001:db8::1]:443', /IPv6/],
    ['10.0.0.1:0', /1 to 65535/],
    ['10.0.0.1:65536', /1 to 65535/],
    ['10.0.0.1:90-80', /80-90/],
    ['10.0.0.1:http', /port/],
    ['10.0.0.1:', /port/],
    ['*', /default/],
    ['*.*.example.org', /alone in front/],
    ['a.*.example.org', /alone in front/],
    ['*example.org', /alone in front/],
    ['https://example.org', /no scheme/],
    ['example.org/path', /no path/],
    ['exa mple.org', /name/],
    ['-a.example', /name/],
    ['0x7f.1', /name/],
    [`${'a'.repeat(64)}.org`, /name/],
    [`${'a.'.repeat(127)}org`, /name/],
    ['example..org', /name/],
    ['a\nb', /name/],
    ['example.org, 10.0.0.1', /name/],
    ['10.0.0.1 } drop', /IPv4 address|name/],
  ];
  for (const [text, why] of wrong) {
    const parsed = parseEgressEntry(text);
    assert.ok(typeof parsed === 'string', text);
    assert.match(parsed, why, text);
  }
});

test('an entry covers another when all of it is part of it', () => {
  const inside: readonly (readonly [string, string])[] = [
    ['10.0.0.0/8', '10.1.2.3:80'],
    ['10.0.0.0/8:1-100', '10.1.0.0/16:80'],
    ['*.example.org', 'www.example.org'],
    ['*.example.org', '*.www.example.org:443'],
    ['example.org', 'example.org:443'],
  ];
  for (const [outer, inner] of inside) {
    assert.ok(covers(entry(outer), entry(inner)), `${outer} covers ${inner}`);
    assert.equal(covers(entry(inner), entry(outer)), false, `${inner} does not cover ${outer}`);
  }
  const apart: readonly (readonly [string, string])[] = [
    ['*.example.org', 'example.org'],
    ['*.example.org', 'badexample.org'],
    ['example.org', 'www.example.org'],
    ['10.0.0.0/8:1-100', '10.0.0.0/8:50-200'],
    ['0.0.0.0/0', 'example.org'],
  ];
  for (const [one, other] of apart) assert.equal(covers(entry(one), entry(other)), false, one);
});

test('the same rules are one policy, in whatever order', () => {
  const rules = { default: 'deny', allow: ['10.0.0.0/8', 'example.org'], deny: [] } as const;
  const id = policyIdOf(rules);
  assert.equal(policyIdOf({ ...rules, allow: [...rules.allow].reverse() }), id);
  assert.notEqual(policyIdOf({ ...rules, default: 'allow' }), id);
  assert.notEqual(policyIdOf({ ...rules, allow: [], deny: rules.allow }), id);
  assert.equal(policyOf(rules).id, id);
});
