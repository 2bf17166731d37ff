// http, exchange: errors of a request are reported at once, with the field and the rule, and valid requests are not
// refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VolantError } from '../../../src/lib/errors.ts';
import { createFakeEngine } from '../fake-engine.ts';
import { ask, errorIn, outcome, startServer } from '../harness.ts';
import { serve } from '../served.ts';

test('an event type that there is not is refused: its stream would be silent forever', async (t) => {
  const server = await startServer(t);
  const wrong = ['/api/v1/events?type=NOPE', '/api/v1/events/vms?type=VM_RUNNING,PLUGIN_REMOVED'];
  for (const path of wrong) {
    const answer = await ask(server, `GET ${path}`);
    assert.equal(outcome(answer), '400 PARAMETER_INVALID', path);
    assert.match(errorIn(answer).details?.['type'] ?? '', /^must be one of VM_CREATED, /);
  }
  const right = ['/api/v1/events?type=PLUGIN_REMOVED,vm_running', '/api/v1/events/vms?type=RESYNC'];
  for (const path of right) assert.equal((await ask(server, `HEAD ${path}`)).status, 200, path);
});

test('a condition is met by one of its strong tags, and by no weak one', async (t) => {
  const served = await serve(t);
  const path = '/api/v1/vms/one/config';
  let version = 1;
  const change = (tag: string) =>
    fetch(served.url + path, {
      method: 'PATCH',
      headers: { 'If-Match': tag },
      body: JSON.stringify({ metadata: { version } }),
    });
  for (const form of ['"V"', '"7", "V"', '"V","other"', 'V', ' * ', '"other", "V" ']) {
    const answer = await change(form.replace('V', String(version)));
    assert.equal(answer.status, 200, form);
    version += 1;
  }
  for (const form of ['W/"V"', 'W/"V", "99"', '"other"', '""', '"99"', '"0V"x']) {
    const answer = await change(form.replace('V', String(version)));
    assert.equal(answer.status, form.endsWith('x') ? 400 : 412, form);
  }
  const now = await served.call('GET', path);
  assert.equal(now.headers.get('etag'), `"${version}"`);
});

test('a number that is too large is distinguished from what is no number', async (t) => {
  const server = await startServer(t);
  const said = async (limit: string) =>
    errorIn(await ask(server, `GET /api/v1/vms?limit=${limit}`)).details?.['limit'];
  assert.equal(await said('9'.repeat(16)), `must be at most ${Number.MAX_SAFE_INTEGER}`);
  assert.equal(await said('9'.repeat(400)), `must be at most ${Number.MAX_SAFE_INTEGER}`);
  for (const text of ['1.5', '-1', 'many']) {
    assert.equal(await said(text), 'must be a whole number, 0 or more', text);
  }
  const largest = await ask(server, `GET /api/v1/vms?limit=${Number.MAX_SAFE_INTEGER}`);
  assert.equal(largest.status, 200);
});

test('every refusal of a bind or unbind has what its clients look for, whichever part refuses', async (t) => {
  const fail = async () => {
    throw new VolantError('DEVICE_NOT_FOUND');
  };
  const fake = createFakeEngine({ devices: { bind: fail, unbind: fail } });
  const open = await startServer(t, { fake });
  const closed = await startServer(t, { fake, environment: { VOLANT_API_KEY: 'secret' } });
  const bodies = ['{"pci_addresses": ["0000:00:01.0"]}', '{}', '{"pci_addresses": 5}', 'no'];
  for (const operation of ['bind', 'unbind']) {
    for (const server of [open, closed]) {
      for (const body of bodies) {
        const answer = await ask(server, `POST /api/v1/vfio/devices/${operation}`, { body });
        const { error } = errorIn(answer);
        const { success, message, ...rest } = JSON.parse(answer.text);
        assert.deepEqual([success, message], [false, error], `${operation} ${body}`);
        assert.deepEqual(rest[operation === 'bind' ? 'bound_devices' : 'unbound_devices'], []);
      }
    }
  }
});

test('a guest that does not answer is no error of the daemon, however often it is asked', async (t) => {
  const fail = () => {
    throw new VolantError('AGENT_UNREACHABLE');
  };
  const fake = createFakeEngine({ agents: { action: fail, connection: fail } });
  const server = await startServer(t, { fake });
  const action = await ask(server, 'POST /api/v1/vms/one/actions/hello/greet', { body: '{}' });
  assert.equal(outcome(action), '502 AGENT_UNREACHABLE');
  assert.deepEqual([...new Set(server.log.map(({ level }) => level))], ['debug']);
});

test('a name with addresses of both kinds is listened on by its IPv4 address', async (t) => {
  // Where the system gives both for localhost, the IPv6 one comes first.
  const server = await startServer(t, { environment: { VOLANT_API_LISTEN: 'localhost:0' } });
  assert.equal((await ask(server, 'GET /healthz')).status, 200);
  const unknown = { VOLANT_API_LISTEN: 'volant.invalid:0', VOLANT_API_OPEN: 'yes' };
  await assert.rejects(
    startServer(t, { environment: unknown }),
    /^Error: volant\.invalid \(VOLANT_API_LISTEN\) is not an address of this host$/,
  );
});

test('the address that is announced is one where the daemon listens', async (t) => {
  const told = async (settings: Record<string, string>) => {
    const served = await serve(t, { settings });
    const answer = await served.call('GET', '/api/v1/system/info');
    return ((await answer.json()) as { api_advertise_addr: string }).api_advertise_addr;
  };
  assert.equal(await told({}), '127.0.0.1:0');
  assert.equal(await told({ VOLANT_API_LISTEN: 'localhost:0' }), '127.0.0.1:0');
  const everywhere = { VOLANT_API_LISTEN: '0.0.0.0:0', VOLANT_API_OPEN: 'yes' };
  assert.equal(await told(everywhere), '192.168.127.1:0');
  assert.equal(await told({ VOLANT_API_ADVERTISE: 'volant.example:80' }), 'volant.example:80');
});
