// load, owned: the cleanup of a run where something cannot be removed, or is not the run's.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { removeRun } from '../../src/load/owned/cleanup.ts';
import { withMark } from '../../src/load/owned/labels.ts';
import { thisOwner } from '../../src/load/owned/run-owner.ts';
import { clientOf } from '../../src/load/run/target.ts';

interface Removals {
  readonly url: string;
  readonly asked: readonly string[];
}

/** A server with these VMs; each has the label of its mark, or none. A delete has this effect. */
async function serverWith(
  t: TestContext,
  marks: Readonly<Record<string, string | null>>,
  remove: (name: string) => 'gone' | 'refused' | 'silent',
): Promise<Removals> {
  const names = new Set(Object.keys(marks));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://fake');
    const [, , , kind, name = '', member] = pathname.split('/');
    const send = (status: number, body: unknown) => {
      response.writeHead(status, { 'X-Total-Count': String(names.size) });
      response.end(JSON.stringify(body));
    };
    if (kind === 'deployments') send(200, []);
    else if (name === '')
      send(
        200,
        [...names].map((vm) => ({ name: vm })),
      );
    else if (member === 'config') {
      const label = marks[name];
      send(200, { config: label ? { metadata: withMark({}, thisOwner(label)) } : {} });
    } else {
      asked.push(name);
      const effect = remove(name);
      if (effect === 'gone') names.delete(name);
      if (effect === 'gone') response.writeHead(204).end();
      if (effect === 'refused') send(409, { error: 'It is held', code: 'VM_BUSY' });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

test('what cannot be removed is listed with its reason, and what is not marked is not touched', async (t) => {
  const marks = {
    'load-one-p1n1': 'one',
    'load-one-p1n2': 'one',
    'load-one-p1n3': null,
    'load-one-p1n4': 'two',
    'other-load-one-p1n5': 'one',
  };
  const { url, asked } = await serverWith(t, marks, (name) =>
    name.endsWith('1') ? 'gone' : 'refused',
  );
  const report = await removeRun(clientOf({ url, apiKey: null, ca: null }), 'one');
  assert.equal(report.removedVms, 1);
  assert.equal(report.leftTotal, 3);
  assert.deepEqual(report.left.map(({ name, reason }) => [name, reason]).toSorted(), [
    ['load-one-p1n2', 'It is held'],
    ['load-one-p1n3', 'It has the name, but not the mark of the run'],
    ['load-one-p1n4', 'It has the name, but not the mark of the run'],
  ]);
  assert.equal(report.command, 'volant-load clean --label one');
  assert.deepEqual([...new Set(asked)].toSorted(), ['load-one-p1n1', 'load-one-p1n2']);
});

test('a daemon that does not answer holds the cleanup no longer than its timeout', async (t) => {
  const { url } = await serverWith(t, { 'load-one-p1n1': 'one' }, () => 'silent');
  const client = clientOf({ url, apiKey: null, ca: null });
  const report = await removeRun(client, 'one', { timeoutMs: 500 });
  assert.deepEqual(
    report.left.map(({ name }) => name),
    ['load-one-p1n1'],
  );
});

test('a daemon that is gone is reported', async () => {
  const client = clientOf({ url: 'http://127.0.0.1:1', apiKey: null, ca: null });
  const report = await removeRun(client, 'one', { timeoutMs: 300 });
  assert.equal(report.leftTotal, 1);
  assert.match(report.left[0]?.reason ?? '', /cannot be reached|No answer/);
});
