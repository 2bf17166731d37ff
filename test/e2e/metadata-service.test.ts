// e2e: metadata services of real guests, in the modes of the network: off unless asked for, what a workload reads of its own
// VM with wget, and its result, which outlives daemon and guest and is gone with the VM.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Daemon, startDaemon } from './daemon.ts';

const READS = 'wget -qO- $VOLANT_METADATA_URL/v1/vm';
const POSTS = '$VOLANT_METADATA_URL/v1/result';

/** Installs a plugin whose workload is a script of the shell, and which has the service. */
async function install(daemon: Daemon, name: string, script: string, more: object = {}) {
  const { body: hello } = await daemon.call('GET', '/api/v1/plugins/hello');
  const { base_url: _, ...workload } = hello.workload;
  const entrypoint = ['/bin/busybox', 'sh', '-c', script];
  const answer = await daemon.call('POST', '/api/v1/plugins', {
    ...hello,
    name,
    runtime: name,
    labels: { tier: 'batch' },
    health_check: {},
    metadata_service: true,
    workload: { ...workload, type: 'process', entrypoint, restart: 'never' },
    ...more,
  });
  assert.equal(answer.status, 201, answer.text);
}

async function create(daemon: Daemon, name: string, plugin: string, more: object = {}, query = '') {
  const answer = await daemon.call('POST', `/api/v1/vms${query}`, { name, plugin, ...more });
  assert.equal(answer.status, 201, answer.text);
  return answer.body;
}

const EXITED = '?wait=exited&timeout=60000';

const resultOf = (daemon: Daemon, name: string) => daemon.call('GET', `/api/v1/vms/${name}/result`);

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > deadlineMs) throw new Error(`waited in vain: ${what}`);
    await pause(50);
  }
}

/** The result as soon as its text is this one. */
async function waitForResult(daemon: Daemon, name: string, text: string) {
  await until(`${name} posts ${text}`, async () => {
    return (await resultOf(daemon, name)).body.body === text;
  });
}

/** What is told of results, until the workload has ended. */
async function eventsOf(daemon: Daemon, name: string) {
  const abort = new AbortController();
  const types = 'type=VM_RESULT,VM_EXITED';
  const response = await fetch(`${daemon.url}/api/v1/events/vms?after=0&name=${name}&${types}`, {
    signal: AbortSignal.any([abort.signal, AbortSignal.timeout(20_000)]),
  });
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (text.includes('"type":"VM_EXITED"') && text.endsWith('\n\n')) break;
  }
  abort.abort();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data));
}

async function withDaemon(t: TestContext): Promise<Daemon | null> {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return null;
  return startDaemon(t);
}

suite('the metadata service of a guest', () => {
  test('is read by its workload, with and without a network, and is off without a word', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const tells = `{ ${READS}/name; echo; ${READS}/labels/tier; echo; ${READS}/metadata/ticket; echo; ${READS}; } >/tmp/told; wget -qO- --post-file /tmp/told ${POSTS}`;
    await install(daemon, 'tells', tells);
    const silent = `[ -z "$VOLANT_METADATA_URL" ] || exit 1; wget -O- http://127.0.0.1:8169/v1/vm 2>&1 | grep -q 'Connection refused' || exit 2; exit 3`;
    await install(daemon, 'silent', silent, { metadata_service: false });
    const config = { metadata: { ticket: 7 }, expose: [{ port: 80, host_port: 28_412 }] };
    const vsock = { config: { metadata: { ticket: 8 }, network: { mode: 'vsock' } } };
    const [bridged, cardless, off] = await Promise.all([
      create(daemon, 'bridged', 'tells', { config }, EXITED),
      create(daemon, 'cardless', 'tells', vsock, EXITED),
      create(daemon, 'off', 'silent', {}, EXITED),
    ]);
    assert.deepEqual([bridged.exit_code, cardless.exit_code, off.exit_code], [0, 0, 3]);
    const told = async (name: string) => {
      const [given, tier, ticket, ...rest] = (await resultOf(daemon, name)).body.body.split('\n');
      return { given, tier, ticket, whole: JSON.parse(rest.join('\n')) };
    };
    const one = await told('bridged');
    assert.deepEqual([one.given, one.tier, one.ticket], ['bridged', 'batch', '7']);
    const { labels: _, ...whole } = one.whole;
    assert.deepEqual(whole, {
      name: 'bridged',
      id: bridged.id,
      plugin: 'tells',
      metadata: { ticket: 7 },
      ip_address: bridged.ip_address,
      ports: [{ port: 80, host_port: 28_412, protocol: 'tcp' }],
    });
    const other = await told('cardless');
    assert.deepEqual([other.given, other.ticket], ['cardless', '8']);
    assert.deepEqual(other.whole.ports, []);
    const none = await resultOf(daemon, 'off');
    assert.deepEqual([none.status, none.body.code], [404, 'RESULT_NOT_FOUND']);
  });

  test('takes a result, which is replaced, and kept until the VM is deleted', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    // What is posted while no daemon runs waits for the next one.
    const phases = `post() { wget -qO- --header "Content-Type: application/json" --post-data "$1" ${POSTS}; }
post '{"phase":1}' || exit 1
until ${READS}/metadata/go | grep -q yes; do sleep 0.2; done
post '{"phase":2}' || exit 2
sleep 2
post '{"phase":3}' || exit 3`;
    await install(daemon, 'phases', phases);
    const made = await create(daemon, 'kept', 'phases');
    await waitForResult(daemon, 'kept', '{"phase":1}');
    const patch = { metadata: { go: 'yes' } };
    assert.equal((await daemon.call('PATCH', '/api/v1/vms/kept/config', patch)).status, 200);
    await waitForResult(daemon, 'kept', '{"phase":2}');
    await daemon.kill('SIGKILL');
    await pause(3_000);
    await daemon.start();
    assert.equal((await daemon.getVm('kept')).id, made.id);
    const ended = await daemon.waitFor('kept', 'stopped');
    assert.equal(
      ended.exit_code,
      0,
      'the last result was taken by a daemon that adopted the guest',
    );
    const { name, content_type, size_bytes, body } = (await resultOf(daemon, 'kept')).body;
    assert.deepEqual(
      [name, content_type, size_bytes, body],
      ['kept', 'application/json', 11, '{"phase":3}'],
    );
    const events = await eventsOf(daemon, 'kept');
    assert.deepEqual(
      events.map(({ type, size_bytes: size }) => [type, size]),
      [
        ['VM_RESULT', 11],
        ['VM_RESULT', 11],
        ['VM_RESULT', 11],
        ['VM_EXITED', undefined],
      ],
    );
    await daemon.killAndRestart();
    assert.equal((await resultOf(daemon, 'kept')).body.body, '{"phase":3}');
    assert.equal((await daemon.call('DELETE', '/api/v1/vms/kept')).status, 204);
    const gone = await resultOf(daemon, 'kept');
    assert.deepEqual([gone.status, gone.body.code], [404, 'VM_NOT_FOUND']);
  });

  test('refuses what is too large, too often or not JSON, and published ports to it', async (t) => {
    const daemon = await withDaemon(t);
    if (daemon === null) return;
    const tries = `status() { wget -O- "$@" ${POSTS} 2>&1 | sed -n 's/.*HTTP[^ ]* \\([0-9]*\\).*/\\1/p'; }
tr '\\0' x </dev/zero | head -c 65537 >/tmp/large
large=$(status --post-file /tmp/large)
broken=$(status --header "Content-Type: application/json" --post-data "{")
taken=-1; often=""
while [ -z "$often" ] && [ $taken -lt 40 ]; do
  taken=$((taken + 1)); often=$(status --post-data "$taken")
done
echo "answers: $large $broken $often after $taken"`;
    await install(daemon, 'tries', tries);
    const made = await create(daemon, 'tries', 'tries', {}, EXITED);
    assert.equal(made.exit_code, 0);
    const { text } = await daemon.call('GET', '/api/v1/vms/tries/console-log');
    const [, taken] = /^answers: 413 400 429 after (\d+)\r?$/m.exec(text) ?? [];
    // A broken one counts, too: after it four are taken at once, and more if they come slowly.
    assert.ok(Number(taken) >= 4, text);
    assert.equal((await resultOf(daemon, 'tries')).body.body, String(Number(taken) - 1));
    const expose = [{ port: 8169, host_port: 28_413 }];
    const refused = await daemon.call('POST', '/api/v1/vms', {
      name: 'no',
      plugin: 'tries',
      config: { expose },
    });
    assert.deepEqual([refused.status, refused.body.code], [400, 'BODY_INVALID']);
    assert.match(refused.body.details.expose, /metadata service/);
  });
});
