// cli: apply --prune deletes only what has the label and is in no file, and asks before it does.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { runCli } from '../../src/cli/program.ts';
import { sendJson, startFakeDaemon } from '../client/fake-daemon.ts';
import { directoryWith, volar } from './volar.ts';

const configs: Readonly<Record<string, object>> = {
  kept: { metadata: { team: 'blue' } },
  old: { metadata: { team: 'blue', stage: 1 } },
  others: { metadata: { team: 'red' } },
  bare: {},
  'web-1': { metadata: { team: 'blue' } },
};

const deployments = [
  { name: 'web', replicas: ['web-1'], config: configs['web-1'] },
  { name: 'shop', replicas: [], config: {} },
];

const plugins: Readonly<Record<string, object>> = {
  hello: { name: 'hello' },
  mine: { name: 'mine', labels: { team: 'blue' } },
};

/** Answers as a daemon with these objects, all of which match documents that name them. */
async function startApi(t: TestContext) {
  const daemon = await startFakeDaemon(t, ({ method, path }, response) => {
    const [, , , group = '', name] = path.split('/');
    if (method === 'DELETE') return sendJson(response, 204, '');
    if (group === 'deployments') return sendJson(response, 200, deployments);
    if (group === 'plugins') {
      return sendJson(
        response,
        200,
        name === undefined ? { plugins: Object.keys(plugins) } : plugins[name],
      );
    }
    if (name === undefined) {
      return sendJson(
        response,
        200,
        Object.keys(configs).map((vm) => ({ name: vm })),
      );
    }
    const config = configs[name];
    if (config === undefined || name === 'bare') {
      return sendJson(response, 404, { error: 'gone', code: 'VM_NOT_FOUND' });
    }
    return sendJson(response, 200, { version: 1, config });
  });
  const deleted = () => daemon.calls().filter((call) => call.startsWith('DELETE'));
  return { url: daemon.url, deleted, calls: daemon.calls };
}

const KEPT = 'kind: VM\nname: kept\n';
const PRUNE = ['apply', '-f', '-', '--prune', '--selector', 'team=blue'];

test('what has the label and is in no file is deleted, plugins last', async (t) => {
  const daemon = await startApi(t);
  const { status, stdout, stderr } = await volar(t, daemon.url, [...PRUNE, '--yes'], KEPT);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'VM kept  unchanged',
    'VM old  pruned',
    'Deployment web  pruned',
    'Plugin mine  pruned',
  ]);
  assert.deepEqual(daemon.deleted(), [
    'DELETE /api/v1/vms/old',
    'DELETE /api/v1/deployments/web',
    'DELETE /api/v1/plugins/mine',
  ]);
});

test('several selectors must all match', async (t) => {
  const daemon = await startApi(t);
  const words = [...PRUNE, '-l', 'stage=1', '--yes', '--json'];
  const { stdout } = await volar(t, daemon.url, words, KEPT);
  const [, ...pruned] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(pruned, [{ kind: 'VM', name: 'old', result: 'pruned' }]);
});

test('a dry run says what would be deleted', async (t) => {
  const daemon = await startApi(t);
  const { status, stdout } = await volar(t, daemon.url, [...PRUNE, '--dry-run'], KEPT);
  assert.equal(status, 0);
  assert.match(stdout, /^VM old {2}would be pruned$/m);
  assert.deepEqual(daemon.deleted(), []);
});

test('without a selector, or where nobody can be asked, nothing is even read', async (t) => {
  const daemon = await startApi(t);
  const refused: readonly [readonly string[], RegExp][] = [
    [['apply', '-f', '-', '--prune', '--yes'], /--prune needs --selector key=value/],
    [['apply', '-f', '-', '--selector', 'a=b'], /--prune, which is missing/],
    [PRUNE, /--prune needs --yes/],
    [['apply', '-f', '-', '--prune', '--yes', '-l', 'team'], /team is not of the form name=value/],
  ];
  for (const [words, message] of refused) {
    const { status, stderr } = await volar(t, daemon.url, words, KEPT);
    assert.equal(status, 2);
    assert.match(stderr, message);
  }
  assert.deepEqual(daemon.calls(), []);
});

test('an empty input deletes nothing', async (t) => {
  const daemon = await startApi(t);
  const { status, stderr } = await volar(t, daemon.url, [...PRUNE, '--yes'], '# nothing\n');
  assert.equal(status, 2);
  assert.match(stderr, /There is no document in/);
  assert.deepEqual(daemon.deleted(), []);
});

for (const [answer, deleted] of [['y\n', 3] as const, ['n\n', 0] as const, ['', 0] as const]) {
  test(`in a terminal it asks: ${JSON.stringify(answer)} deletes ${deleted}`, async (t) => {
    const daemon = await startApi(t);
    const terminal = () => Object.assign(new PassThrough(), { isTTY: true });
    const [stdin, stdout, stderr] = [terminal(), terminal(), terminal()];
    stdin.end(answer);
    const file = directoryWith(t, { 'kept.yaml': KEPT });
    const words = ['apply', '-f', file, '--prune', '--selector', 'team=blue'];
    const streams = { stdin, stdout, stderr };
    const status = await runCli(words, streams, { VOLANT_API_BASE: daemon.url });
    assert.match(String(stderr.read()), /VM old\n {2}Deployment web\n {2}Plugin mine\n.*\[y\/N\]/);
    assert.equal(daemon.deleted().length, deleted);
    assert.equal(status, deleted === 0 ? 1 : 0);
  });
}
