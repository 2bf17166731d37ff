// http: the list of VMs: its parameters, and that it is never outdated.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createFakeEngine, type FakeEngine, vmRecord } from './fake-engine.ts';
import { ask, errorIn, outcome, startServer, type TestServer } from './harness.ts';

/** Five VMs: names do not follow ids, two share a runtime, and statuses differ. */
function fleet(): FakeEngine {
  const fake = createFakeEngine();
  const put = (id: number, name: string, more: Parameters<typeof vmRecord>[2]) =>
    fake.vms.put(vmRecord(id, name, more));
  put(1, 'delta', { status: 'running', runtime: 'Web', plugin: 'nginx', updatedAtMs: 5 });
  put(2, 'alpha', { status: 'stopped', runtime: 'db', plugin: 'postgres', updatedAtMs: 4 });
  put(3, 'echo', { status: 'running', runtime: 'web', plugin: 'nginx', updatedAtMs: 3 });
  put(4, 'bravo', { status: 'crashed', runtime: 'cache', plugin: 'redis', updatedAtMs: 2 });
  put(5, 'charlie', { status: 'stopped', runtime: 'db', plugin: 'postgres', updatedAtMs: 1 });
  return fake;
}

const serveFleet = (t: TestContext) => startServer(t, { fake: fleet() });

interface Listed {
  readonly names: string;
  readonly total: number;
}

async function list(server: TestServer, query: string): Promise<Listed> {
  const answer = await ask(server, `GET /api/v1/vms${query}`);
  assert.equal(answer.status, 200, `${query}: ${answer.text}`);
  const vms = JSON.parse(answer.text) as { name: string }[];
  const total = Number(answer.headers['x-total-count']);
  return { names: vms.map(({ name }) => name).join(' '), total };
}

/** Asks with each query and compares "names: total". */
async function expectLists(server: TestServer, expected: Record<string, string>): Promise<void> {
  for (const [query, result] of Object.entries(expected)) {
    const { names, total } = await list(server, query);
    assert.equal(`${names}: ${total}`, result, query);
  }
}

test('an empty fleet is an empty array', async (t) => {
  const server = await startServer(t);
  const answer = await ask(server, 'GET /api/v1/vms');
  assert.equal(answer.text, '[]');
  assert.equal(answer.headers['x-total-count'], '0');
});

test('a list is made of the very bodies of its VMs', async (t) => {
  const server = await serveFleet(t);
  const { text } = await ask(server, 'GET /api/v1/vms?sort=name&limit=2');
  const bodies = ['alpha', 'bravo'].map((name) => server.fake.vms.body(name));
  assert.equal(text, `[${bodies.join(',')}]`);
});

test('the order is that of creation unless another one is asked for', async (t) => {
  const server = await serveFleet(t);
  await expectLists(server, {
    '': 'delta alpha echo bravo charlie: 5',
    '?sort=created_at&order=desc': 'charlie bravo echo alpha delta: 5',
    '?sort=name': 'alpha bravo charlie delta echo: 5',
    '?sort=NAME&order=DESC': 'echo delta charlie bravo alpha: 5',
    '?sort=updated_at': 'charlie bravo echo alpha delta: 5',
    // Equals stay in the order of creation.
    '?sort=status&order=desc': 'alpha charlie delta echo bravo: 5',
    '?sort=&order=': 'delta alpha echo bravo charlie: 5',
  });
});

test('statuses may be repeated, separated by commas, and in any case', async (t) => {
  const server = await serveFleet(t);
  await expectLists(server, {
    '?status=running': 'delta echo: 2',
    '?status=STOPPED,Crashed': 'alpha bravo charlie: 3',
    '?status=crashed&status=running': 'delta echo bravo: 3',
    '?status=%20stopped%20,,running,': 'delta alpha echo charlie: 4',
    '?status=': 'delta alpha echo bravo charlie: 5',
    '?status=deleting': ': 0',
  });
});

test('runtime and plugin are equal, q is a part, all ignoring case', async (t) => {
  const server = await serveFleet(t);
  await expectLists(server, {
    '?runtime=WEB': 'delta echo: 2',
    '?runtime=we': ': 0',
    '?plugin=Postgres': 'alpha charlie: 2',
    '?q=L': 'delta alpha charlie: 3',
    '?q=CACHE': 'bravo: 1',
    '?q=127.4': 'echo: 1',
    '?q=%6cph': 'alpha: 1',
    '?q=%25': ': 0',
    '?runtime=db&status=stopped&q=char': 'charlie: 1',
  });
});

test('the count is that of all matches, whatever the page', async (t) => {
  const server = await serveFleet(t);
  await expectLists(server, {
    '?limit=2': 'delta alpha: 5',
    '?limit=2&offset=4': 'charlie: 5',
    '?limit=0': ': 5',
    '?offset=2': 'echo bravo charlie: 5',
    '?offset=5': ': 5',
    '?offset=999999999999999': ': 5',
    '?limit=999999999999999': 'delta alpha echo bravo charlie: 5',
    '?status=stopped&limit=1&offset=1': 'charlie: 2',
    '?sort=name&order=desc&limit=2&offset=1': 'delta charlie: 5',
  });
});

test('what is not understood is refused by name, all of it at once', async (t) => {
  const server = await serveFleet(t);
  const refused: Record<string, readonly string[]> = {
    '?status=asleep': ['status'],
    '?status=running,asleep': ['status'],
    '?sort=size': ['sort'],
    '?order=down': ['order'],
    '?limit=-1': ['limit'],
    '?limit=1.5': ['limit'],
    '?limit=1e3': ['limit'],
    '?limit=ten': ['limit'],
    '?limit=': ['limit'],
    '?limit=%201': ['limit'],
    '?limit=9999999999999999': ['limit'],
    '?offset=-1': ['offset'],
    '?offset=0x10': ['offset'],
    '?status=a&sort=b&order=c&limit=d&offset=e': ['limit', 'offset', 'order', 'sort', 'status'],
  };
  for (const [query, names] of Object.entries(refused)) {
    const answer = await ask(server, `GET /api/v1/vms${query}`);
    assert.equal(outcome(answer), '400 PARAMETER_INVALID', query);
    assert.deepEqual(Object.keys(errorIn(answer).details ?? {}).sort(), names, query);
  }
});

test('parameters that nobody knows change nothing', async (t) => {
  const server = await serveFleet(t);
  const { total } = await list(server, '?colour=red&Limit=1&__proto__=x&status[]=running');
  assert.equal(total, 5);
});

test('the same list asked again is right after every change', async (t) => {
  const server = await serveFleet(t);
  const { vms } = server.fake;
  const running = () => list(server, '?status=running&sort=name');
  assert.deepEqual(await running(), { names: 'delta echo', total: 2 });
  assert.deepEqual(await running(), { names: 'delta echo', total: 2 });

  vms.put(vmRecord(6, 'golf'));
  assert.deepEqual(await running(), { names: 'delta echo golf', total: 3 });
  vms.put(vmRecord(6, 'golf', { status: 'stopping' }));
  assert.deepEqual(await running(), { names: 'delta echo', total: 2 });
  vms.put(vmRecord(2, 'alpha', { status: 'running' }));
  assert.deepEqual(await running(), { names: 'alpha delta echo', total: 3 });
  vms.remove(1);
  assert.deepEqual(await running(), { names: 'alpha echo', total: 2 });
  vms.remove(1);
  assert.deepEqual(await running(), { names: 'alpha echo', total: 2 });

  // A name that is free again is another VM's, at the end of the order of creation.
  vms.put(vmRecord(7, 'delta'));
  assert.deepEqual(await list(server, ''), {
    names: 'alpha echo bravo charlie golf delta',
    total: 6,
  });
});

test('two lists that are asked in turns do not take each other for themselves', async (t) => {
  const server = await serveFleet(t);
  for (let round = 0; round < 3; round += 1) {
    await expectLists(server, {
      '?limit=1': 'delta: 5',
      '?limit=1&offset=1': 'alpha: 5',
      '?runtime=db': 'alpha charlie: 2',
      '?plugin=db': ': 0',
      '?q=db': 'alpha charlie: 2',
    });
  }
});

test('a change through the API is in the next list', async (t) => {
  const server = await serveFleet(t);
  await list(server, '');
  await ask(server, 'POST /api/v1/vms', { body: '{"name":"foxtrot"}' });
  assert.equal((await list(server, '')).total, 6);
  await ask(server, 'DELETE /api/v1/vms/foxtrot');
  assert.equal((await list(server, '')).total, 5);
});

test('pages in the order of creation neither skip nor repeat a VM, however many are created meanwhile', async (t) => {
  const server = await startServer(t);
  const { vms } = server.fake;
  let lastId = 0;
  const create = (count: number) => {
    for (let made = 0; made < count; made += 1) {
      lastId += 1;
      vms.put(vmRecord(lastId, `vm-${lastId}`));
    }
  };
  create(5_000);
  const seen: string[] = [];
  for (let offset = 0; offset < lastId; offset += 500) {
    const { names, total } = await list(server, `?limit=500&offset=${offset}`);
    assert.equal(total, lastId);
    seen.push(...names.split(' '));
    if (offset < 5_000) create(37);
  }
  assert.deepEqual(
    seen,
    Array.from({ length: lastId }, (_, index) => `vm-${index + 1}`),
  );
});
