// schema, rules: manifests: what is accepted, in which form it is stored, what is refused and how.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Manifest, ManifestInput } from '../../../src/schema/manifest.ts';
import { checkConfig, checkKernelCmdline } from '../../../src/schema/rules/config-rules.ts';
import { healthCheckType } from '../../../src/schema/rules/health-check-rules.ts';
import { normaliseManifest } from '../../../src/schema/rules/manifest-rules.ts';

const BOUNDS = { cpuCoresMax: 8, memoryMbMin: 32, memoryMbMax: 4096 };

const GOOD: ManifestInput = {
  schema_version: '1.0',
  name: 'web',
  version: '1',
  resources: { cpu_cores: 1, memory_mb: 64 },
  initramfs: { url: '/images/web.cpio' },
  workload: { type: 'HTTP', base_url: 'http://127.0.0.1:80', entrypoint: ['/bin/web', ' -v '] },
};

const DISK = { name: 'data', source: '/images/data.img' };

function accepted(input: ManifestInput): Manifest {
  const result = normaliseManifest(input, BOUNDS);
  assert.ok('manifest' in result, JSON.stringify(result));
  return result.manifest;
}

const workload = (more: object): ManifestInput => ({ workload: { ...GOOD.workload, ...more } });
const check = (health_check: object): ManifestInput => ({ health_check });
const endpoint = (path: string): ManifestInput => ({ health_check: { endpoint: path } });
const action = (more: object): ManifestInput => ({
  actions: { go: { method: 'POST', path: '/go', ...more } },
});
const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
const variables = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`A${index}`, 'x']));

function problemsOf(change: ManifestInput): string[] {
  const result = normaliseManifest({ ...GOOD, ...change }, BOUNDS);
  return 'problems' in result ? Object.keys(result.problems) : [];
}

suite('manifest rules', () => {
  test('fill in what may be left out and leave the user’s own words alone', () => {
    const manifest = accepted({
      ...GOOD,
      workload: { ...GOOD.workload, env: { SPACED: '  x  ' } },
      network: { mode: ' Bridged ' },
    });
    assert.equal(manifest.runtime, 'web');
    assert.equal(manifest.enabled, true);
    assert.equal(manifest.workload.type, 'http');
    assert.deepEqual(manifest.workload.entrypoint, ['/bin/web', ' -v ']);
    assert.deepEqual(manifest.workload.env, { SPACED: '  x  ' });
    assert.equal(manifest.network?.mode, 'bridged');
    assert.equal(manifest.labels['volant.plugin'], 'web');
    assert.deepEqual(manifest.health_check, { endpoint: '', timeout_ms: 0 });
    assert.deepEqual(manifest.rootfs, { url: '', format: 'raw' });
  });

  test('keep a health check as it was given, and know its type', () => {
    const cases: [object, string | null][] = [
      [{}, null],
      [{ type: 'none' }, 'none'],
      [{ endpoint: '/up' }, 'http'],
      [{ type: 'tcp' }, 'tcp'],
      [{ port: 5432, interval_ms: 1000 }, 'tcp'],
      [{ command: ['/bin/check', ' -v '], probe_timeout_ms: 9, retries: 3 }, 'exec'],
    ];
    for (const [given, type] of cases) {
      const { health_check: kept } = accepted({ ...GOOD, health_check: given });
      assert.deepEqual(kept, { endpoint: '', timeout_ms: 0, ...given });
      assert.equal(healthCheckType(kept), type);
    }
  });

  test('keep where the rules of the manifest are, and take file systems for what they hold', () => {
    const $schema = 'https://example.org/plugin-manifest-v1.json';
    const manifest = accepted({
      ...GOOD,
      $schema,
      rootfs: { url: '/images/root.img', format: ' Ext4 ' },
      disks: [{ ...DISK, format: 'squashfs' }],
    });
    assert.equal(manifest.$schema, $schema);
    assert.equal(manifest.rootfs.format, 'ext4');
    assert.equal(manifest.disks?.[0]?.format, 'squashfs');
  });

  test('a normal form is its own normal form', () => {
    const once = accepted(GOOD);
    assert.deepEqual(accepted(once as ManifestInput), once);
  });

  test('enabled is what the manifest says, when it says something', () => {
    assert.equal(accepted({ ...GOOD, enabled: false }).enabled, false);
  });

  test('every problem is named at once', () => {
    const result = normaliseManifest({}, BOUNDS);
    assert.ok('problems' in result);
    const wanted = [
      'initramfs.url',
      'name',
      'resources.cpu_cores',
      'resources.memory_mb',
      'version',
    ];
    for (const path of wanted) assert.ok(path in result.problems, path);
  });

  const refused: [string, ManifestInput, string][] = [
    ['a name that is no host name', { name: 'Web Server' }, 'name'],
    ['too many CPUs', { resources: { cpu_cores: 9, memory_mb: 64 } }, 'resources.cpu_cores'],
    ['too little memory', { resources: { cpu_cores: 1, memory_mb: 16 } }, 'resources.memory_mb'],
    ['a relative image', { initramfs: { url: 'web.cpio' } }, 'initramfs.url'],
    ['a short checksum', { initramfs: { url: '/x', checksum: 'abc' } }, 'initramfs.checksum'],
    [
      'another hash',
      { initramfs: { url: '/x', checksum: `md5:${'0'.repeat(32)}` } },
      'initramfs.checksum',
    ],
    ['a file system as format', { rootfs: { url: '/x', format: 'ntfs' } }, 'rootfs.format'],
    ['a network without mode', { network: {} }, 'network.mode'],
    ['an unknown mode', { network: { mode: 'wifi' } }, 'network.mode'],
    ['a subnet alone', { network: { mode: 'bridged', subnet: '10.0.0.0/8' } }, 'network.gateway'],
    [
      'a workload that is no HTTP',
      { workload: { ...GOOD.workload, type: 'tcp' } },
      'workload.type',
    ],
    ['no entrypoint', { workload: { ...GOOD.workload, entrypoint: [] } }, 'workload.entrypoint'],
    [
      'a blank entrypoint',
      { workload: { ...GOOD.workload, entrypoint: [' '] } },
      'workload.entrypoint',
    ],
    ['a disk without source', { disks: [{ name: 'data' }] }, 'disks[0].source'],
    ['an http URL without a host', { rootfs: { url: 'http://' } }, 'rootfs.url'],
    ['a broken host', { initramfs: { url: 'http://[::1' } }, 'initramfs.url'],
    ['a password in a URL', { rootfs: { url: 'https://u:p@h/x' } }, 'rootfs.url'],
    ['a file URL of another host', { rootfs: { url: 'file://images/x' } }, 'rootfs.url'],
    ['a file URL with half a code', { rootfs: { url: 'file:///50%.img' } }, 'rootfs.url'],
    ['a file URL with NUL', { rootfs: { url: 'file:///a%00b' } }, 'rootfs.url'],
    ['a source that is no URL', { disks: [{ name: 'd', source: 'file:///%' }] }, 'disks[0].source'],
    ['a serial number of ours', { disks: [{ ...DISK, target: 'seed' }] }, 'disks[0]'],
    ['two disks of one name', { disks: [DISK, { ...DISK, target: 'b' }] }, 'disks[1].name'],
    [
      'two disks of one serial number',
      { disks: [DISK, { ...DISK, name: 'b', target: 'data' }] },
      'disks[1]',
    ],
    [
      'two disks at one place',
      {
        disks: [
          { ...DISK, target: '/a/b' },
          { ...DISK, name: 'b', target: '/a//./b/' },
        ],
      },
      'disks[1].target',
    ],
    ['a mount point above', { disks: [{ ...DISK, target: '/a/../b' }] }, 'disks[0].target'],
    ['the root as mount point', { disks: [{ ...DISK, target: '/.' }] }, 'disks[0].target'],
    [
      'more disks than a machine has places for',
      { disks: Array.from({ length: 17 }, (_, index) => ({ ...DISK, name: `d${index}` })) },
      'disks',
    ],
    [
      'an encoding that is none',
      { cloud_init: { user_data: { inline: true, content: 'a', encoding: 'gzip' } } },
      'cloud_init.user_data.encoding',
    ],
    [
      'bytes that are not encoded as they are said to be',
      { cloud_init: { user_data: { inline: true, content: '#!', encoding: 'base64' } } },
      'cloud_init.user_data.content',
    ],
    [
      'a document with NUL in its path',
      { cloud_init: { user_data: { path: '/a\0b' } } },
      'cloud_init.user_data.path',
    ],
    ['an action without path', { actions: { go: { method: 'POST' } } }, 'actions.go.path'],
    ['an action whose method is none', action({ method: 'CONNECT' }), 'actions.go.method'],
    [
      'an action with a method that no client sends',
      action({ method: 'G(T' }),
      'actions.go.method',
    ],
    ['a path with a space', action({ path: '/a b' }), 'actions.go.path'],
    ['a path with a fragment', action({ path: '/a#b' }), 'actions.go.path'],
    ['a path that is no path', action({ path: 'a' }), 'actions.go.path'],
    ['an endpoint without slash', endpoint('health'), 'health_check.endpoint'],
    ['a check of a type that there is not', check({ type: 'udp' }), 'health_check.type'],
    ['a request without a path', check({ type: 'http' }), 'health_check.endpoint'],
    ['a command without a program', check({ type: 'exec' }), 'health_check.command'],
    ['a command of nothing', check({ command: [''] }), 'health_check.command'],
    ['a port that is none', check({ port: 70_000 }), 'health_check.port'],
    ['a port for a request', check({ endpoint: '/', port: 80 }), 'health_check.port'],
    ['a path for a port', check({ type: 'tcp', endpoint: '/' }), 'health_check.endpoint'],
    ['checks too close', check({ endpoint: '/', interval_ms: 50 }), 'health_check.interval_ms'],
    [
      'a check of an hour',
      check({ port: 1, probe_timeout_ms: 3_600_000 }),
      'health_check.probe_timeout_ms',
    ],
    ['a thousand tries', check({ port: 1, retries: 1_000 }), 'health_check.retries'],
    ['an endpoint with a space', endpoint('/a b'), 'health_check.endpoint'],
    ['an endpoint with a line break', endpoint('/a\r\nHost: b'), 'health_check.endpoint'],
    ['an endpoint that is too long', endpoint(`/${'x'.repeat(300)}`), 'health_check.endpoint'],
    ['260 arguments', workload({ entrypoint: Array(260).fill('x') }), 'workload.entrypoint'],
    ['600 variables', workload({ env: variables(600) }), 'workload.env'],
    ['NUL in an argument', workload({ entrypoint: ['/x', 'a\0'] }), 'workload.entrypoint[1]'],
    ['NUL in a variable', workload({ env: { A: '\0' } }), 'workload.env.A'],
    ['NUL in a variable’s name', workload({ env: { 'A\0': 'x' } }), 'workload.env["A\\u0000"]'],
    ['NUL in a directory', workload({ workdir: '/a\0' }), 'workload.workdir'],
    ['NUL in a description', action({ description: 'a\0' }), 'actions.go.description'],
    ['NUL in the version', { version: '1\0' }, 'version'],
    ['half a surrogate', workload({ env: { A: '\ud800' } }), 'workload.env.A'],
    ['a variable with "="', workload({ env: { 'A=B': 'x' } }), 'workload.env["A=B"]'],
    ['https', workload({ base_url: 'https://127.0.0.1' }), 'workload.base_url'],
    ['a host name', workload({ base_url: 'http://web' }), 'workload.base_url'],
    ['half an address', workload({ base_url: 'http://127.1' }), 'workload.base_url'],
    ['port 0', workload({ base_url: 'http://127.0.0.1:0' }), 'workload.base_url'],
    ['a query', workload({ base_url: 'http://127.0.0.1?a' }), 'workload.base_url'],
    [
      'values that are nested too deep',
      { actions: { go: { method: 'GET', path: '/', more: nested(40) } as object } },
      `actions.go.more${'[0]'.repeat(30)}`,
    ],
    [
      'values that are nested much too deep',
      { network: { mode: 'dhcp', more: nested(4_000) } as object },
      `network.more${'[0]'.repeat(31)}`,
    ],
  ];
  for (const [what, change, path] of refused) {
    test(`refuse ${what}`, () =>
      assert.ok(problemsOf(change).includes(path), `${problemsOf(change)}`));
  }

  test('say of what is no disk by name or format how it becomes one', () => {
    const ruleOf = (disk: object) => {
      const result = normaliseManifest({ ...GOOD, disks: [{ ...DISK, ...disk }] }, BOUNDS);
      const problems = 'problems' in result ? result.problems : {};
      return problems['disks[0].format'] ?? problems['disks[0].source'] ?? '';
    };
    assert.match(ruleOf({ format: 'vmdk' }), /must be raw or qcow2.*; convert it with qemu-img/);
    for (const [name, remedy] of [
      ['/a/b.vmdk', /ends with \.vmdk: convert it with qemu-img convert -f vmdk -O qcow2/],
      ['https://example.org/b.VHD?x=1', /ends with \.VHD: convert it with .* -f vpc/],
      ['/a/b.img.xz', /unpack it with xz -d/],
    ] as const) {
      assert.match(ruleOf({ source: name, format: undefined }), remedy);
      assert.equal(ruleOf({ source: name, format: 'raw' }), '', 'a format counts more than a name');
      const rootfs = { url: name };
      assert.match(checkConfig({ rootfs })['rootfs.url'] ?? '', remedy);
      const whole = normaliseManifest({ ...GOOD, rootfs }, BOUNDS);
      assert.match(('problems' in whole && whole.problems['rootfs.url']) || '', remedy);
    }
  });

  test('say of a target what is wrong with it', () => {
    const rule = (target: string) => {
      const result = normaliseManifest({ ...GOOD, disks: [{ ...DISK, target }] }, BOUNDS);
      return 'problems' in result ? result.problems['disks[0].target'] : undefined;
    };
    assert.match(rule('/my data') ?? '', /no other characters than letters/);
    assert.match(rule('my data') ?? '', /at most 20 letters, digits/);
    assert.match(rule('x'.repeat(21)) ?? '', /at most 20/);
    assert.equal(rule('/my-data'), undefined);
  });

  test('a mount point is kept without needless parts', () => {
    const { disks } = accepted({ ...GOOD, disks: [{ ...DISK, target: '/a//b/./c/' }] });
    assert.equal(disks?.[0]?.target, '/a/b/c');
  });

  test('take both forms of a checksum', () => {
    const hex = 'a'.repeat(64);
    for (const checksum of [hex, `sha256:${hex}`]) {
      assert.deepEqual(problemsOf({ initramfs: { url: '/x', checksum } }), []);
    }
  });
});

suite('config rules', () => {
  test('images of a config obey what those of a manifest do', () => {
    const problems = checkConfig({
      rootfs: { url: '/x', format: 'ntfs' },
      initramfs: { url: 'file:///a/50%.img' },
    });
    assert.deepEqual(Object.keys(problems).sort(), ['initramfs.url', 'rootfs.format']);
  });

  test('kernel arguments are one line of ours and theirs apart', () => {
    for (const text of ['', 'a=b c', 'quiet  splash']) assert.equal(checkKernelCmdline(text), null);
    for (const text of ['a\nb', 'a\0', 'x="y z"', 'volant.boot=rootfs', 'a volant.x', 'ä']) {
      assert.notEqual(checkKernelCmdline(text), null, JSON.stringify(text));
    }
  });

  test('every wrong field of a config is named', () => {
    const problems = checkConfig({
      kernel_override: 'vmlinux',
      expose: [
        { port: 0, host_port: 80 },
        { port: 1, host_port: 70000, protocol: 'sctp' },
      ],
      devices: { pci_passthrough: ['0000:01:00.0', '../../x'] },
      network: { mode: 'nope' },
    });
    assert.deepEqual(Object.keys(problems).sort(), [
      'devices.pci_passthrough[1]',
      'expose[0].port',
      'expose[1].host_port',
      'expose[1].protocol',
      'kernel_override',
      'network.mode',
    ]);
  });
});
