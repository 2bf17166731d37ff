// e2e: volar against a real daemon whose hypervisor is the simulator.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startVolar, volar } from '../cli/volar.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };

test('a day with volar: plugins, VMs, configs, deployments, events', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const type = async (line: string, input = '') => {
    const ended = await volar(t, daemon.url, line.split(' '), input);
    assert.equal(ended.status, 0, `${line}: ${ended.stdout}${ended.stderr}`);
    return ended.stdout;
  };
  const watching = startVolar(t, ['vms', 'list', '-w'], { VOLANT_API_BASE: daemon.url });
  assert.match(await type('plugins list'), /^hello +\S+ +yes /m);
  assert.match(
    await type('vms create one --plugin hello'),
    /^one {2}192\.168\.\d+\.\d+ {2}running after/,
  );
  await watching.printed(/^one +running/m);
  assert.match(await type('vms list'), /^one +running +hello /m);
  assert.match(await type('vms get one'), /^status +running$/m);
  assert.match(
    await type('vms scale one --memory 96 --restart'),
    /96 MiB in version 2[\s\S]*running/,
  );
  assert.match(await type('vms config history one'), /^2 .*96$/m);
  assert.equal(JSON.parse(await type('vms config get one')).resources.memory_mb, 96);
  const set = 'vms config set one --file - --if-version 2 --json';
  assert.equal(JSON.parse(await type(set, '{"metadata":{"a":1}}')).version, 3);
  assert.match(await type('vms stop one'), /^one {2}stopped/);
  assert.match(await type('vms start one'), /^one {2}running {2}pid \d+/);

  const config = JSON.stringify({ plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 64 } });
  await type('deployments create web --replicas 2 --config - --wait running', config);
  assert.match(await type('deployments list'), /^web +active +2 /m);
  await type('deployments scale web 1');
  await type('deployments delete web');

  await type('vms delete one');
  await watching.printed(/^one +deleted/m);
  assert.match(await type('events --name one'), /VM_CREATED {3}one[\s\S]*VM_DELETED {3}one/);
  assert.match(await type('system status'), /^VMs +0$/m);
  assert.match(await type('version'), /^volar (\S+)\nvolantd \1$/m);
});

test('apply makes a plugin, a VM and a deployment, and finds nothing to do the second time', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const hello = JSON.parse((await volar(t, daemon.url, ['plugins', 'show', 'hello'])).stdout);
  const documents = [
    { ...hello, kind: 'Plugin', name: 'mine', labels: { team: 'a' } },
    { kind: 'VM', name: 'one', plugin: 'mine', memory_mb: 64 },
    {
      kind: 'Deployment',
      name: 'web',
      replicas: 2,
      config: { plugin: 'mine', resources: { cpu_cores: 1, memory_mb: 64 } },
    },
  ];
  const apply = async (changed: readonly object[]) => {
    const ended = await volar(t, daemon.url, ['apply', '-f', '-'], JSON.stringify(changed));
    assert.equal(ended.status, 0, ended.stderr);
    return ended.stdout.trimEnd().split('\n');
  };
  const results = (result: string) => [
    `Plugin mine  ${result}`,
    `VM one  ${result}`,
    `Deployment web  ${result}; 2 of 2 ready`,
  ];
  assert.deepEqual(await apply(documents), results('created'));
  assert.deepEqual(await apply(documents), results('unchanged'));
  const [plugin = {}, , deployment = {}] = documents;
  const bigger = [
    plugin,
    { kind: 'VM', name: 'one', memory_mb: 96 },
    { ...deployment, replicas: 1 },
  ];
  assert.deepEqual(await apply(bigger), [
    'Plugin mine  unchanged',
    'VM one  changed: resources.memory_mb; takes effect at the next start',
    'Deployment web  changed: replicas; 1 of 1 ready',
  ]);
});

test('errors of a real daemon: their exit status and their remedy', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, SIMULATOR);
  const expectFailure = async (line: string, status: number, message: RegExp) => {
    const ended = await volar(t, daemon.url, line.split(' '));
    assert.equal(ended.status, status, `${line}: ${ended.stderr}`);
    assert.match(ended.stderr, message);
  };
  await expectFailure('vms get none', 3, /volar vms list/);
  await expectFailure('vms create Bad_Name --plugin hello', 1, /name must be lower-case/);
  await expectFailure('vms create one --plugin none', 3, /volar plugins list/);
  await daemon.createVm('one');
  await expectFailure('vms create one --plugin hello', 4, /another name/);
  await expectFailure('vms start one', 4, /volar: /);
  await daemon.terminate();
  await expectFailure('vms list', 5, /npm run up/);
});
