// client: every operation has a method, and the method sends what the contract defines.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient, type VolantClient } from '../../src/client/client.ts';
import { METHODS } from '../../src/client/methods.ts';
import { OPERATIONS } from '../../src/schema/operations.ts';
import { sendJson, startFakeDaemon } from './fake-daemon.ts';

/** Arguments for the parameters of a path; requests that need more get it here. */
const ARGUMENTS: Readonly<Record<string, readonly unknown[]>> = {
  createVM: [{ name: 'x' }],
  updateVMConfig: ['x', {}],
  createDeployment: [{ name: 'x', config: {} }],
  scaleDeployment: ['x', 2],
  rollbackDeployment: ['x', {}],
  installPlugin: [{ name: 'x' }],
  setPluginEnabled: ['x', true],
  listPluginArtifacts: ['x'],
  putPluginArtifact: ['x', { version: '1', artifact_name: 'x' }],
  removePluginArtifacts: ['x'],
  getPluginArtifact: ['x', 'x', '1'],
  putVMFile: ['x', 'x', ''],
  watchVMFiles: ['x', '/x'],
  postMCPCommand: ['volant.vms.list'],
  createExec: ['x', { argv: ['x'] }],
  writeExecInput: ['x', 'x', 'x'],
  signalExec: ['x', 'x', 'SIGINT'],
  resizeExec: ['x', 'x', { rows: 1, columns: 1 }],
  getVFIODeviceInfo: ['0000:00:01.0'],
  validateVFIODevices: [['0000:00:01.0']],
  checkVFIOIOMMUGroups: [['0000:00:01.0']],
  bindVFIODevices: [['0000:00:01.0']],
  unbindVFIODevices: [['0000:00:01.0']],
  getVFIOGroupPaths: [['0000:00:01.0']],
  pullImage: ['nginx'],
};

const METHOD_NAMES: Readonly<Record<string, string>> = METHODS;

/** Calls a method by its name, as a program without types would. */
async function callByName(client: VolantClient, name: string, args: readonly unknown[]) {
  const [group = '', method = ''] = name.split('.');
  const owner = client[group as keyof VolantClient] as unknown as Record<string, unknown>;
  const called = owner[method];
  assert.ok(typeof called === 'function', `${name} is a method`);
  const result: unknown = called.apply(owner, args);
  if (result !== null && typeof result === 'object' && 'next' in result) {
    await (result as AsyncGenerator).next();
    await (result as AsyncGenerator).return(undefined);
  } else await result;
}

test('each operation of the contract has a method', () => {
  const missing = Object.keys(OPERATIONS).filter((id) => METHOD_NAMES[id] === undefined);
  assert.deepEqual(missing, []);
});

test('each method sends the method and path of its operation', async (t) => {
  const event = 'data: {"type":"VM_CREATED","name":"x"}\n\n';
  const daemon = await startFakeDaemon(t, ({ path }, response) => {
    if (/\/stream|files-watch/.test(path)) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.end('event: end\ndata: {}\n\n');
      return;
    }
    if (!path.startsWith('/api/v1/events')) return sendJson(response, 200, {});
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(event);
  });
  const client = createClient({ baseUrl: daemon.url });
  for (const [id, { method, path }] of Object.entries(OPERATIONS)) {
    const parameters = [...path.matchAll(/\{\w+\}/g)].map(() => 'x');
    daemon.seen.length = 0;
    await callByName(client, METHOD_NAMES[id] ?? '', ARGUMENTS[id] ?? parameters);
    const expected = `${method} ${path.replace(/\{\w+\}/g, 'x')}`;
    const sent = daemon.calls().map((call) => call.split('?')[0]);
    assert.deepEqual(sent, [expected], id);
  }
});
