// What a guest's cloud-init gets: the documents of the VM over those of its plugin, an identity of
// its own, and its address.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  networkConfigArgument,
  readSeed,
  seedFiles,
  seedSourcesOf,
} from '../../../src/engine/media/cloud-init.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import type { VmConfig } from '../../../src/schema/vm-config.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

const textOf = (world: World, vmId: number, name: string) =>
  String(world.host.seeds.get(vmId)?.get(name) ?? '');
const inline = (content: string) => ({ inline: true, content });
const nothing = { user_data: null, meta_data: null, network_config: null };

const sources = (own: object | undefined, base: object | undefined) =>
  seedSourcesOf({ cloud_init: own, manifest: { cloud_init: base } } as unknown as VmConfig);

suite('the documents of a seed', () => {
  test('are the VM’s own, one by one over those of the manifest', () => {
    const base = { user_data: inline('base'), meta_data: { path: '/base' } };
    assert.deepEqual(sources({ user_data: inline('own'), network_config: { path: '/n' } }, base), {
      user_data: { kind: 'inline', text: 'own' },
      meta_data: { kind: 'file', url: '/base' },
      network_config: { kind: 'file', url: '/n' },
    });
    assert.deepEqual(sources({}, base)?.user_data, { kind: 'inline', text: 'base' });
  });

  test('can be taken away: inline with nothing in it', () => {
    assert.equal(
      sources({ user_data: { inline: true } }, { user_data: inline('base') })?.user_data,
      null,
    );
  });

  test('are not there without cloud_init on either side', () => {
    assert.equal(sources(undefined, undefined), null);
    assert.deepEqual(sources({}, undefined), nothing);
  });
});

suite('the files of a seed', () => {
  const vm = { id: 7, name: 'web-1' };
  const metaData = (given: string) =>
    seedFiles({ ...nothing, meta_data: given }, vm).get('meta-data');

  test('are user-data and meta-data where nothing was given', () => {
    assert.deepEqual(
      [...seedFiles(nothing, vm)],
      [
        ['user-data', '#cloud-config\n'],
        ['meta-data', 'instance-id: volant-7\nlocal-hostname: web-1\n'],
      ],
    );
  });

  test('are what was given, to the last blank', () => {
    const files = seedFiles(
      { user_data: ' #!/bin/sh\r\n\n', meta_data: null, network_config: 'version: 2\n' },
      vm,
    );
    assert.equal(files.get('user-data'), ' #!/bin/sh\r\n\n');
    assert.equal(files.get('network-config'), 'version: 2\n');
  });

  test('have an instance-id and a host name, also beside other meta-data', () => {
    assert.equal(
      metaData('public-keys:\n- one\n- two\nlocal-hostname: mine'),
      'public-keys:\n- one\n- two\nlocal-hostname: mine\ninstance-id: volant-7\n',
    );
    assert.equal(
      metaData('instance-id: i\nlocal-hostname: h\n'),
      'instance-id: i\nlocal-hostname: h\n',
    );
  });

  test('have them also in JSON and after marks of YAML, and the rest to the letter', () => {
    assert.equal(
      metaData('{"instance-id": "json", "big": 12345678901234567890}'),
      '{"local-hostname": "web-1", "instance-id": "json", "big": 12345678901234567890}',
    );
    assert.deepEqual(JSON.parse(metaData('{}') as string), {
      'instance-id': 'volant-7',
      'local-hostname': 'web-1',
    });
    assert.match(metaData('a.b: 1\n...\n') as string, /^a\.b: 1\ninstance-id: volant-7\n/);
    assert.match(metaData('local-hostname : x\n') as string, /\ninstance-id: volant-7\n$/);
    assert.equal(
      metaData('? instance-id\n: {instance-id: x}\n'),
      '? instance-id\n: {instance-id: x}\n',
    );
  });

  test('are refused where it cannot be known whether there is an instance-id', () => {
    for (const text of ['{a: 1}', '- a\n', '? b\n: c\n', '{"a": 1', 'a: 1\n---\nb: 2\n']) {
      assert.throws(() => metaData(text), { code: 'MEDIA_INVALID' }, text);
    }
  });

  test('are refused where a blank after a colon is missing: YAML reads no key there', () => {
    const wrong = [
      'instance-id:i-1\n',
      'instance-id:i-1\nlocal-hostname: h\n',
      'local-hostname:h\ninstance-id: i-1\n',
      '{instance-id:i-1}',
    ];
    for (const text of wrong) {
      assert.throws(
        () => metaData(text),
        { code: 'MEDIA_INVALID', message: /a blank after the colon/ },
        text,
      );
    }
    for (const text of [
      '{"instance-id":"i-1", a: b}',
      '{instance-id: i-1}',
      'x: {"instance-id":1}',
    ]) {
      assert.ok(String(metaData(text)).includes('instance-id'), text);
    }
  });

  test('of a config are bytes where they are said to be', async () => {
    const packed = Buffer.from([0x1f, 0x8b, 8, 0, 0xff, 0x80]);
    const user_data = { inline: true, content: packed.toString('base64'), encoding: 'base64' };
    const meta_data = { ...user_data, content: Buffer.from('instance-id: i\n').toString('base64') };
    const own = sources({ user_data, meta_data }, {});
    const documents = await readSeed(own ?? nothing, async () => packed);
    const files = seedFiles(documents, vm);
    assert.deepEqual(Buffer.from(files.get('user-data') ?? ''), packed);
    assert.match(String(files.get('meta-data')), /^instance-id: i\n/);
  });

  test('of the host that are no text keep their bytes', async () => {
    const packed = Buffer.from([0x1f, 0x8b, 8, 0, 0xff, 0x80]);
    const source = { kind: 'file', url: '/packed' } as const;
    const documents = await readSeed({ ...nothing, user_data: source }, async () => packed);
    assert.deepEqual(seedFiles(documents, vm).get('user-data'), packed);
  });

  test('quote a name that YAML would read as something else', () => {
    const quoted = seedFiles(nothing, { id: 1, name: 'on' }).get('meta-data');
    assert.match(String(quoted), /local-hostname: "on"/);
  });
});

test('the address of a VM is given in the form that cloud-init reads', () => {
  const argument = networkConfigArgument(
    { ipAddress: '10.1.2.3', prefixLength: 20, hostIp: '10.1.0.1', nameServers: ['10.1.0.53'] },
    '52:54:00:00:00:01',
  );
  const [key, value = ''] = argument.split('=', 1).concat(argument.slice('network-config='.length));
  assert.equal(key, 'network-config');
  assert.deepEqual(JSON.parse(Buffer.from(value, 'base64').toString()), {
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: '52:54:00:00:00:01' },
        addresses: ['10.1.2.3/20'],
        routes: [{ to: '0.0.0.0/0', via: '10.1.0.1' }],
        nameservers: { addresses: ['10.1.0.53'] },
      },
    },
  });
});

suite('a VM with cloud-init', () => {
  const withSeed = (cloud_init: object, name = 'a') => ({
    name,
    plugin: 'hello',
    config: { cloud_init: { datasource: 'NoCloud', ...cloud_init } },
  });

  test('has a seed before it runs, the same identity after a start, and nothing after its end', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const vm: Vm = JSON.parse(
      await engine.vms.create(withSeed({ user_data: inline('#cloud-config\n') })),
    );
    assert.match(textOf(world, vm.id, 'meta-data'), /instance-id: volant-1\n/);
    assert.match(vm.kernel_cmdline, / network-config=/);
    await engine.vms.stop('a');
    world.host.seeds.clear();
    await engine.vms.start('a');
    assert.match(textOf(world, vm.id, 'meta-data'), /instance-id: volant-1\n/);
    await engine.vms.destroy('a');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('whose meta-data nothing could read is refused before it is stored, and so is a deployment', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const wrong = withSeed({ meta_data: inline('instance-id:i-1') });
    const refused = (field: string) => (error: unknown) =>
      error instanceof VolantError &&
      error.code === 'MEDIA_INVALID' &&
      error.details?.[field] !== undefined;
    await assert.rejects(engine.vms.create(wrong), refused('cloud_init.meta_data'));
    const config = { plugin: 'hello', ...wrong.config };
    const deployment = engine.deployments.create({ name: 'web', replicas: 1, config });
    await assert.rejects(deployment, refused('config.cloud_init.meta_data'));
    assert.deepEqual([engine.deployments.list().length, world.host.seeds.size], [0, 0]);
    await engine.vms.create({ name: 'b', plugin: 'hello' });
    const patch = engine.configs.patch('b', wrong.config);
    await assert.rejects(patch, refused('cloud_init.meta_data'));
  });

  test('whose seed says the network gets no other one', async () => {
    const { engine } = await engineOn(newWorld());
    const vm: Vm = JSON.parse(
      await engine.vms.create(withSeed({ network_config: inline('version: 2\n') })),
    );
    assert.doesNotMatch(vm.kernel_cmdline, /network-config=/);
  });

  test('whose document cannot be read is refused before anything is made', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await assert.rejects(engine.vms.create(withSeed({ user_data: { path: '/not-there' } })), {
      code: 'MEDIA_INVALID',
    });
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('of another data source is refused by name', async () => {
    const { engine } = await engineOn(newWorld());
    await assert.rejects(engine.vms.create(withSeed({ datasource: 'Ec2' })), {
      code: 'FEATURE_UNAVAILABLE',
    });
  });
});
