// Names that mean this host: which they are, and that no name server has a say in where they lead.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ConfigError, loadConfig } from '../../../src/config.ts';
import { isLocalhost, lookupLocalhost } from '../../../src/lib/net/localhost.ts';

test('localhost and every name below it are this host, names that only look so are not', () => {
  for (const name of ['localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'a.b.localhost.']) {
    assert.ok(isLocalhost(name), name);
  }
  for (const name of ['', 'localhost.example.org', 'mylocalhost', '.localhost', 'localhost..']) {
    assert.ok(!isLocalhost(name), name);
  }
});

test('they lead to loopback, by the family that is asked for', async () => {
  const lookup = promisify<string, object, unknown>(lookupLocalhost as never);
  const both = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ];
  assert.deepEqual(await lookup('localhost', { all: true }), both);
  assert.deepEqual(await lookup('localhost', { all: true, family: 6 }), both.slice(1));
  assert.equal(await lookup('localhost', {}), '127.0.0.1');
  assert.equal(await lookup('localhost', { family: 6 }), '::1');
});

test('an API that listens at a name of this host listens at 127.0.0.1', () => {
  for (const name of ['localhost', 'volant.localhost']) {
    const { listen } = loadConfig({ VOLANT_API_LISTEN: `${name}:7001` });
    assert.deepEqual(listen, { kind: 'tcp', host: '127.0.0.1', port: 7001 });
  }
  assert.throws(() => loadConfig({ VOLANT_API_LISTEN: 'localhost' }), ConfigError);
});
