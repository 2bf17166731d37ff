// http, exchange: a client that misspells a member or a parameter gets a warning, whatever the body is, and with
// strict=true nothing is done.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { json } from '../../../src/http/exchange/reply.ts';
import { withWarnings } from '../../../src/http/exchange/strictness.ts';
import { takeUnknownMembers } from '../../../src/schema/unknown-members.ts';
import { CreateVmSchema } from '../../../src/schema/vm.ts';
import { ask, errorIn, startServer } from '../harness.ts';

const CREATE = 'POST /api/v1/vms';

test('what is not known is ignored with a warning that names it, and does not reach the engine', async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({
    name: 'one',
    memroy_mb: 512,
    config: { expse: [], network: { mod: 'vsock' }, expose: [{ port: 80, prt: 1 }] },
  });
  const answer = await ask(server, `${CREATE}?dryrun=true`, { body });
  assert.equal(answer.status, 201);
  const vm = JSON.parse(answer.text);
  assert.equal(vm.name, 'one');
  assert.deepEqual(vm.warnings, [
    'memroy_mb is not known and was ignored; did you mean memory_mb?',
    'config.expse is not known and was ignored; did you mean expose?',
    'config.network.mod is not known and was ignored; did you mean mode?',
    'config.expose[0].prt is not known and was ignored; did you mean port?',
    'parameter dryrun is not known and was ignored; did you mean dry_run?',
  ]);
  assert.deepEqual(server.fake.calls[0]?.given[0], {
    name: 'one',
    config: { network: {}, expose: [{ port: 80 }] },
  });
});

test('strict=true refuses it: the sentence names the first, the details all', async (t) => {
  const server = await startServer(t);
  const body = JSON.stringify({ name: 'one', memroy_mb: 512, zzz: 1 });
  const error = errorIn(await ask(server, `${CREATE}?strict=true`, { body }));
  assert.equal(error.code, 'BODY_INVALID');
  assert.equal(
    error.error,
    'The request body is not valid: memroy_mb is not known; did you mean memory_mb?, and 1 more',
  );
  assert.deepEqual(Object.keys(error.details ?? {}), ['memroy_mb', 'zzz']);
  const named = JSON.stringify({ name: 'one' });
  const parameter = errorIn(
    await ask(server, `${CREATE}?strict=true&dry-run=true`, { body: named }),
  );
  assert.equal(parameter.code, 'PARAMETER_INVALID');
  const wrong = errorIn(await ask(server, `${CREATE}?strict=yes`, { body: named }));
  assert.deepEqual(wrong.details, { strict: 'must be one of true, false' });
  assert.equal(server.fake.calls.length, 0);
  const right = await ask(server, `${CREATE}?strict=true`, { body: named });
  assert.equal(right.status, 201);
  assert.equal('warnings' in JSON.parse(right.text), false);
});

test('members and parameters that are wrong are named together', async (t) => {
  const server = await startServer(t);
  const target = 'POST /api/v1/vms?dry_run=perhaps&wait=none&timeout=-1&strict=true&nope=1';
  const wrong = errorIn(await ask(server, target, { body: '{"name": 1, "zzz": 1}' }));
  assert.equal(wrong.code, 'BODY_INVALID');
  const named = ['dry_run', 'name', 'nope', 'timeout', 'wait', 'zzz'];
  assert.deepEqual(Object.keys(wrong.details ?? {}).sort(), named);
  const parameters = errorIn(await ask(server, target, { body: '{"name": "one"}' }));
  assert.equal(parameters.code, 'PARAMETER_INVALID');
  assert.deepEqual(Object.keys(parameters.details ?? {}).sort(), [
    'dry_run',
    'nope',
    'timeout',
    'wait',
  ]);
  assert.equal(server.fake.calls.length, 0);
});

test('warnings of the answer itself come before those of the request', () => {
  const own = json(200, { name: 'web', warnings: ['a file is not there'] });
  const both = withWarnings(own, ['why is not known']);
  assert.deepEqual(JSON.parse(both.body ?? ''), {
    name: 'web',
    warnings: ['a file is not there', 'why is not known'],
  });
  const named = withWarnings(json(200, { metadata: { warnings: 'mine' } }), ['why']);
  assert.deepEqual(JSON.parse(named.body ?? ''), {
    metadata: { warnings: 'mine' },
    warnings: ['why'],
  });
});

test('an answer without a body gets one for its warnings', async (t) => {
  const server = await startServer(t);
  const target = 'POST /api/v1/plugins/hello/enabled';
  const answer = await ask(server, target, { body: '{"enabled": true, "why": 1}' });
  assert.deepEqual(JSON.parse(answer.text), { warnings: ['why is not known and was ignored'] });
  assert.equal((await ask(server, target, { body: '{"enabled": true}' })).text, '');
});

test('what may have any members has them, whatever their names', () => {
  const text = '{"name":"a","config":{"metadata":{"x":{"y":1}}},"__proto__":1,"constructor":2}';
  const body = JSON.parse(text);
  const unknown = takeUnknownMembers(CreateVmSchema, body);
  assert.deepEqual(Object.keys(unknown), ['__proto__', 'constructor']);
  assert.deepEqual(body, { name: 'a', config: { metadata: { x: { y: 1 } } } });
});
