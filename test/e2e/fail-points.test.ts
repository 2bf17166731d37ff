// e2e: the daemon is killed, and fails, at every fail point. Afterwards every answered request was carried out, every other
// one completely or not at all, and the host matches the records.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { type Answer, type Daemon, startDaemon } from './daemon.ts';
import { ask, Story } from './story.ts';

const SIMULATOR = { VOLANT_HYPERVISOR: 'simulator' };
const POINTS_MIN = 60;
/** All of them take minutes: `npm run test:chaos` tries each, the usual run every so manieth, another one each day. */
const IS_THOROUGH = process.env['VOLANT_TEST_CHAOS'] === '1';
const EVERY = 12;
/** What happened nevertheless cannot be told to have failed. */
const KILL_ONLY = /^commit:.*:after$|^launch:|^commit:(PLUGIN_INSTALLED|meta):/;

const isMade = (answer: Awaited<ReturnType<typeof ask>>): answer is Answer =>
  answer !== null && answer !== 'unsent' && answer.status < 300;

/** Three clients at once, each with a VM of its own; `kept` was made before and is asked nothing of. */
async function live(daemon: Daemon): Promise<Story> {
  const story = new Story();
  const create = async (name: string, config: object) => {
    const body = { name, plugin: 'hello', config };
    const answer = await ask(daemon, 'POST', 'vms', body);
    story.tell(name, answer, 'running');
    return answer;
  };
  const act = async (name: string, what: 'start' | 'stop' | 'restart') => {
    const answer = await ask(daemon, 'POST', `vms/${name}/${what}`);
    if (what === 'stop') story.tell(name, answer, 'stopped');
    else story.tell(name, answer, 'running', ['stopped', 'crashed']);
  };
  const destroy = async (name: string) =>
    story.tell(name, await ask(daemon, 'DELETE', `vms/${name}`), 'absent');
  const kept = await create('kept', {});
  if (isMade(kept)) story.tellPid('kept', kept.body.pid);
  const clients = [
    async () => {
      await create('a', { expose: [{ port: 80, host_port: 18080 }] });
      await act('a', 'stop');
      await act('a', 'start');
      await destroy('a');
    },
    async () => {
      const made = await create('b', {});
      await act('b', 'restart');
      const seen = await ask(daemon, 'GET', 'vms/b');
      if (isMade(made) && isMade(seen) && seen.body.pid !== undefined) {
        story.tellCrash('b');
        process.kill(seen.body.pid, 'SIGKILL');
      }
      await ask(daemon, 'PATCH', 'vms/b/config', { metadata: { seen: true } });
    },
    async () => {
      await create('c', { network: { mode: 'vsock' } });
      await act('c', 'stop');
      await act('c', 'restart');
    },
  ];
  await Promise.all(clients.map((client) => client()));
  return story;
}

/** The places that are passed while a daemon starts and lives, in the order of their names. */
async function placesOf(t: TestContext): Promise<readonly string[]> {
  const daemon = await startDaemon(t, { ...SIMULATOR, VOLANT_FAIL_POINT: '*=tell' });
  const story = await live(daemon);
  await story.check(daemon);
  const seen = daemon.log().matchAll(/^fail point (\S+)$/gm);
  return [...new Set([...seen].map(([, name]) => name ?? ''))].sort();
}

/** Those of today, or all. What is passed at the very first start ends that start when it fails. */
function chosen(places: readonly string[]): readonly string[] {
  if (IS_THOROUGH) return places;
  const today = Math.floor(Date.now() / 86_400_000) % EVERY;
  return places.filter((_, index) => index % EVERY === today);
}

suite('places to fail', () => {
  test('a daemon that is killed at any of them, and one that fails there, loses nothing', async (t) => {
    if (!requireCapability(t, 'root', 'netns', 'tun')) return;
    let places: readonly string[] = [];
    await t.test('are many', async (each) => {
      places = await placesOf(each);
      assert.ok(places.length >= POINTS_MIN, `${places.length}: ${places.join(' ')}`);
    });
    for (const place of chosen(places)) {
      await t.test(`killed at ${place}`, async (each) => {
        const settings = { ...SIMULATOR, VOLANT_FAIL_POINT: `${place}=kill` };
        const daemon = await startDaemon(each, settings, { mayDie: true });
        const story = await live(daemon);
        await daemon.kill('SIGKILL');
        await daemon.start({ VOLANT_FAIL_POINT: '' });
        await story.check(daemon);
      });
    }
    for (const place of chosen(places).filter((name) => !KILL_ONLY.test(name))) {
      await t.test(`fails at ${place}`, async (each) => {
        const action = ['EIO', 'ENOSPC', 'EMFILE', 'ETIMEDOUT'][place.length % 4];
        const daemon = await startDaemon(each, {
          ...SIMULATOR,
          VOLANT_FAIL_POINT: `${place}=${action}@1x2`,
        });
        const story = await live(daemon);
        await story.check(daemon);
      });
    }
  });
});
