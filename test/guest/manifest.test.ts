// Whatever manifest the daemon accepts the agent takes whole: the same manifests are given to the rules of the one and to
// the code of the other, at every bound and at random.

import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import { manifestForGuest } from '../../src/engine/vms/launch/kernel-arguments.ts';
import { signalNumber } from '../../src/lib/formats/signals.ts';
import { type Manifest, type ManifestInput, RESTART_POLICIES } from '../../src/schema/manifest.ts';
import { GUEST_LIMITS } from '../../src/schema/rules/guest-limits.ts';
import { healthCheckType } from '../../src/schema/rules/health-check-rules.ts';
import { normaliseManifest } from '../../src/schema/rules/manifest-rules.ts';
import { buildDecoder, decodeWith } from './programs.ts';

const BOUNDS = { cpuCoresMax: 8, memoryMbMin: 32, memoryMbMax: 4096 };

interface Taken {
  readonly user: string;
  readonly signal: number;
  readonly restart: number;
  readonly arguments: readonly string[];
  readonly variables: readonly string[];
  readonly directory: string;
  readonly endpoint: string;
  readonly check: string;
  readonly command: readonly string[];
  readonly checkPort: number;
  readonly interval: number;
  readonly timeout: number;
  readonly retries: number;
  readonly host: string;
  readonly port: number;
  readonly prefix: string;
}

interface Parts {
  readonly workload?: object;
  readonly endpoint?: string;
  readonly more?: object;
}

function inputOf({ workload = {}, endpoint = '', more = {} }: Parts): ManifestInput {
  return {
    name: 'web',
    version: '1',
    resources: { cpu_cores: 1, memory_mb: 64 },
    initramfs: { url: '/images/web.cpio' },
    health_check: { endpoint },
    ...more,
    workload: {
      type: 'http',
      base_url: 'http://127.0.0.1:80',
      entrypoint: ['/bin/x'],
      ...workload,
    },
  };
}

/** null when the daemon refuses it. */
function accepted(input: ManifestInput): Manifest | null {
  const result = normaliseManifest(input, BOUNDS);
  return 'manifest' in result ? result.manifest : null;
}

const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
const texts = (count: number) => Array.from({ length: count }, (_, index) => `a${index}`);
const variables = (count: number) => Object.fromEntries(texts(count).map((name) => [name, 'x']));
const action = (extra: unknown) => ({ actions: { go: { method: 'POST', path: '/go', extra } } });
const valuesOf = (count: number) => action(Array.from({ length: count }, () => 0));

/** Values of a manifest whose action has an empty list. */
function otherValues(): number {
  const count = (value: unknown): number =>
    typeof value === 'object' && value !== null
      ? Object.values(value).reduce((sum: number, member) => sum + count(member), 1)
      : 1;
  const manifest = accepted(inputOf({ more: valuesOf(0) }));
  assert.ok(manifest);
  return count(JSON.parse(manifestForGuest(manifest, [])));
}

const L = GUEST_LIMITS;

/** Parts with the most that is taken, and with one more. */
const AT_THE_BOUND: readonly (readonly [name: string, most: Parts, tooMuch: Parts])[] = [
  ['arguments', entrypoint(texts(L.argumentsMax)), entrypoint(texts(L.argumentsMax + 1))],
  ['arguments of their own', args(texts(L.argumentsMax)), args(texts(L.argumentsMax + 1))],
  ['user', user('u'.repeat(L.userBytesMax)), user('u'.repeat(L.userBytesMax + 1))],
  ['variables', env(variables(L.variablesMax)), env(variables(L.variablesMax + 1))],
  [
    'bytes of an argument',
    entrypoint(['/x', 'ä'.repeat((L.argumentBytesMax - 1) / 2)]),
    entrypoint(['/x', 'ä'.repeat((L.argumentBytesMax + 1) / 2)]),
  ],
  [
    'bytes of a variable',
    env({ A: 'x'.repeat(L.argumentBytesMax - 2) }),
    env({ A: 'x'.repeat(L.argumentBytesMax - 1) }),
  ],
  [
    'bytes of a program',
    entrypoint([`/${'x'.repeat(L.pathBytesMax - 1)}`]),
    entrypoint([`/${'x'.repeat(L.pathBytesMax)}`]),
  ],
  [
    'bytes of a directory',
    { workload: { workdir: `/${'x'.repeat(L.pathBytesMax - 1)}` } },
    { workload: { workdir: `/${'x'.repeat(L.pathBytesMax)}` } },
  ],
  [
    'path of the base URL',
    baseUrl(`http://localhost/${'x'.repeat(L.baseUrlPathBytesMax - 1)}/`),
    baseUrl(`http://localhost/${'x'.repeat(L.baseUrlPathBytesMax)}/`),
  ],
  ['port', baseUrl('http://127.0.0.1:65535'), baseUrl('http://127.0.0.1:65536')],
  [
    'path of the health check',
    { endpoint: `/${'x'.repeat(L.healthEndpointBytesMax - 1)}` },
    { endpoint: `/${'x'.repeat(L.healthEndpointBytesMax)}` },
  ],
  [
    'arguments of the command',
    command(texts(L.healthCommandArgumentsMax)),
    command(texts(L.healthCommandArgumentsMax + 1)),
  ],
  [
    'bytes of the command',
    command(['/x', 'ä'.repeat((L.healthCommandBytesMax - 4) / 2)]),
    command(['/x', 'ä'.repeat((L.healthCommandBytesMax - 2) / 2)]),
  ],
  // The list is four levels below the manifest.
  [
    'depth',
    { more: action(nested(L.jsonDepthMax - 3)) },
    { more: action(nested(L.jsonDepthMax - 2)) },
  ],
];

function entrypoint(list: readonly string[]): Parts {
  return { workload: { entrypoint: list } };
}

function args(list: readonly string[]): Parts {
  return { workload: { args: list } };
}

function user(name: string): Parts {
  return { workload: { user: name } };
}

function command(list: readonly string[]): Parts {
  return { more: { health_check: { command: list } } };
}

function env(map: Readonly<Record<string, string>>): Parts {
  return { workload: { env: map } };
}

function baseUrl(url: string): Parts {
  return { workload: { base_url: url } };
}

/** mulberry32: the same numbers in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

const PIECES = [
  ...['/', '//', '.', '..', ' ', '\t', '\n', '#', '?', '%20', '%', 'a', 'ä', '😀', '\ud800', '\0'],
  ...[
    '\u0001',
    '\u007f',
    '\u0080',
    '"',
    '\\',
    '=',
    ':',
    '@',
    '[',
    ']',
    '0',
    '80',
    '65536',
    '127.0.0.1',
  ],
  ...[
    'localhost',
    'http://',
    'https://',
    'HTTP://',
    'http://127.0.0.1',
    '0.0.0.0',
    '010.0.0.1',
    '__proto__',
  ],
];

function randomManifest(below: (bound: number) => number): ManifestInput {
  const text = () =>
    Array.from({ length: below(4) }, () => PIECES[below(PIECES.length)] ?? '').join('');
  const often = (good: string) => (below(3) > 0 ? good : `${good}${text()}`);
  const sometimes = (good: string) => (below(6) > 0 ? often(good) : text());
  const count = below(20) > 0 ? below(4) : 254 + below(5);
  return inputOf({
    endpoint: sometimes('/health'),
    workload: {
      entrypoint: [sometimes('/bin/x'), ...Array.from({ length: count }, text)],
      env: Object.fromEntries(Array.from({ length: below(3) }, () => [sometimes('NAME'), text()])),
      workdir: sometimes('/srv'),
      ...(below(3) > 0 ? {} : { args: [text(), sometimes('-x')] }),
      ...(below(3) > 0
        ? {}
        : { user: often('web'), stop_signal: ['SIGINT', 'quit', '9'][below(3)] ?? '' }),
      ...(below(6) > 0
        ? { base_url: sometimes('http://127.0.0.1:80/app') }
        : { type: ['exec', 'grpc', 'http', 'process'][below(4)] ?? '', base_url: '' }),
      ...(below(3) > 0
        ? {}
        : { restart: ['never', 'on-failure', ' Always ', 'sometimes', ''][below(5)] ?? '' }),
    },
    more: {
      ...(below(2) > 0 ? {} : { health_check: randomCheck(below, sometimes) }),
      actions: {
        [sometimes('go')]: {
          method: ['GET', 'post', ' PUT ', 'CONNECT', 'G(T', ''][below(6)] ?? '',
          path: sometimes('/go'),
          description: text(),
          ...(below(4) > 0 ? {} : { extra: nested(25 + below(8)) }),
        },
      },
    },
  });
}

function randomCheck(below: (bound: number) => number, sometimes: (good: string) => string) {
  const members = {
    type: ['http', 'tcp', 'exec', 'none', 'TCP ', 'udp'][below(6)],
    endpoint: sometimes('/health'),
    port: [0, 1, 80, 65_535, 65_536, -1][below(6)],
    command: [sometimes('/bin/true'), sometimes('-v')],
    interval_ms: [0, 99, 100, 3_600_000, 3_600_001][below(5)],
    probe_timeout_ms: [0, 1, 600_000, 600_001][below(4)],
    retries: [0, 1, 100, 101][below(4)],
  };
  return Object.fromEntries(Object.entries(members).filter(() => below(3) === 0));
}

suite('manifests between daemon and agent', () => {
  let decoder = '';
  before(() => {
    decoder = buildDecoder();
  });

  /** What the agent would start; a sentence when it refuses. */
  function taken(manifests: readonly unknown[]): (Taken | string)[] {
    const inputs = manifests.map((manifest) => JSON.stringify(manifest));
    return decodeWith(decoder, 'manifest', inputs).map((result) => {
      const text = result?.toString() ?? '';
      return text.startsWith('{') ? (JSON.parse(text) as Taken) : text;
    });
  }

  function forGuest(manifest: Manifest): unknown {
    return JSON.parse(manifestForGuest(manifest, []));
  }

  function assertWhole({ workload, health_check }: Manifest, result: Taken | string | undefined) {
    assert.ok(typeof result === 'object', `${result}: ${JSON.stringify(workload).slice(0, 500)}`);
    assert.deepEqual(result.arguments, [...workload.entrypoint, ...(workload.args ?? [])]);
    assert.equal(result.user, workload.user ?? '');
    assert.equal(RESTART_POLICIES[result.restart], workload.restart ?? 'always');
    assert.equal(result.signal, signalNumber(workload.stop_signal ?? 'SIGTERM'));
    const own = Object.entries(workload.env ?? {}).map(([name, value]) => `${name}=${value}`);
    assert.deepEqual(result.variables.slice(result.variables.length - own.length), own);
    assert.equal(result.directory, workload.workdir ?? '/');
    assert.equal(result.endpoint, health_check.endpoint);
    // Where nothing is said its port must listen, if it has one.
    const unsaid = workload.base_url === undefined ? 'none' : 'listen';
    assert.equal(result.check, healthCheckType(health_check) ?? unsaid);
    assert.deepEqual(result.command, health_check.command ?? []);
    assert.equal(result.checkPort, health_check.port ?? result.port);
    assert.equal(result.interval, health_check.interval_ms ?? 10_000);
    assert.equal(result.timeout, health_check.probe_timeout_ms ?? 5_000);
    assert.equal(result.retries, health_check.retries ?? 1);
    if (workload.base_url === undefined) return assert.equal(result.port, 0);
    const host = workload.base_url.startsWith('http://localhost') ? 'localhost' : result.host;
    const url = new URL(`http://${host}:${result.port}${result.prefix}`);
    assert.equal(url.host, new URL(workload.base_url).host);
    assert.ok(workload.base_url.endsWith(result.prefix) || workload.base_url.endsWith('/'));
  }

  test('the most of each is taken by both, one more by neither', () => {
    const values = L.jsonValuesMax - otherValues();
    const cases = [
      ...AT_THE_BOUND,
      ['values', { more: valuesOf(values) }, { more: valuesOf(values + 1) }] as const,
    ];
    for (const [name, most, tooMuch] of cases) {
      const manifest = accepted(inputOf(most));
      assert.ok(manifest, `the most of ${name} is accepted`);
      assert.equal(accepted(inputOf(tooMuch)), null, `more ${name} are refused`);
      const [whole, refused] = taken([forGuest(manifest), inputOf(tooMuch)]);
      assertWhole(manifest, whole);
      // What the daemon fills in besides counts for the number of values.
      if (name !== 'values') assert.equal(typeof refused, 'string', `the agent refuses ${name}`);
    }
  });

  test('arguments and variables together are no more than the agent takes', () => {
    const long = 'x'.repeat(100_000);
    const sized = (count: number, rest: number) =>
      inputOf(entrypoint(['/x', ...Array.from({ length: count }, () => long), 'x'.repeat(rest)]));
    assert.equal(accepted(sized(10, 48_500)), null);
    const manifest = accepted(sized(10, 48_000));
    assert.ok(manifest);
    assertWhole(manifest, taken([forGuest(manifest)])[0]);
  });

  test('a manifest without a program is taken, and has none', () => {
    const manifest = accepted({ ...inputOf({}), workload: { type: 'none' } });
    assert.ok(manifest);
    assertWhole(manifest, taken([forGuest(manifest)])[0]);
  });

  test('what the daemon accepts at random the agent takes whole', () => {
    const below = numbers(7);
    const manifests = Array.from({ length: 6_000 }, () => accepted(randomManifest(below))).filter(
      (manifest) => manifest !== null,
    );
    assert.ok(manifests.length > 300 && manifests.length < 5_000, `${manifests.length} accepted`);
    const results = taken(manifests.map(forGuest));
    for (const [index, manifest] of manifests.entries()) assertWhole(manifest, results[index]);
  });

  test('the method and the path of every action make a request that the agent reads', () => {
    const below = numbers(11);
    const longest = `/${'x'.repeat(L.requestTargetBytesMax - 4)}`;
    const inputs = [
      ...Array.from({ length: 4_000 }, () => randomManifest(below)),
      ...L.actionMethods.map((method) =>
        inputOf({ more: { actions: { go: { method, path: longest } } } }),
      ),
    ];
    const actions = inputs.flatMap((input) => Object.values(accepted(input)?.actions ?? {}));
    const wanted = actions.map(({ method, path }) => `${method?.toUpperCase()} /v1${path}`);
    assert.ok(wanted.length > 200, `${wanted.length} actions`);
    const heads = wanted.map((line) => `${line} HTTP/1.1\r\nHost: agent\r\n\r\n`);
    const read = decodeWith(decoder, 'head', heads).map((result) => result?.toString());
    assert.deepEqual(read, wanted);
    const tooLong = inputOf({ more: { actions: { go: { method: 'GET', path: `${longest}x` } } } });
    assert.equal(accepted(tooLong), null);
  });
});
