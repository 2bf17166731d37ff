// What the daemon relies on for watches of files: the agent tells each change below a directory once, also in directories
// that are made later, and never of what is outside. The agent is a program of the host here, so each test has a root of its
// own.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { before, suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { WatchLines, type WatchWord } from '../../src/http/guests/files/watch-lines.ts';
import { askFiles } from './ask-files.ts';
import { buildHostAgent, temporaryDirectory } from './programs.ts';
import { type ServedAgent, serveAgent, soon } from './served-agent.ts';

const LINE_CHARACTERS_MAX = 256 * 1024;
/** As in native/guest/files/transfer.c. */
const WATCHES_MAX = 8;

let program = '';

interface Watch {
  readonly status: number;
  /** What was told so far, as text: "created file /a". */
  readonly told: string[];
  /** Resolves when all of these were told, in any order and with anything else between. */
  until(...wanted: readonly string[]): Promise<void>;
  /** The agent has ended the answer. */
  readonly ended: Promise<unknown>;
  readonly body: string;
  pause(): void;
  resume(): void;
  leave(): void;
}

function textOf(word: WatchWord): string {
  if (word.type === 'overflow') return 'overflow';
  if (word.type === 'end') return `end ${word.reason}`;
  const from = word.from === undefined ? '' : `${word.from} -> `;
  return `${word.type} ${word.kind} ${from}${word.path_escaped ?? word.path}`;
}

async function watch(agent: ServedAgent, path: string, query: object): Promise<Watch> {
  const stream = agent.channel.open();
  const text = new URLSearchParams({ ...query }).toString();
  const outgoing = request({
    path: `/agent/watch${path}?${text}`,
    createConnection: () => stream,
  });
  outgoing.on('error', () => undefined);
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const status = incoming.statusCode ?? 0;
  const told: string[] = [];
  const lines = new WatchLines(LINE_CHARACTERS_MAX);
  const chunks: Buffer[] = [];
  const ended = new Promise((resolve) => incoming.once('close', resolve));
  incoming.on('error', () => undefined);
  incoming.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (status !== 200) return;
    const words = lines.push(chunk);
    assert.ok(words, `no watch says ${chunk}`);
    told.push(...words.map(textOf));
  });
  const until = async (...wanted: readonly string[]) => {
    const signal = soon();
    while (!wanted.every((line) => told.includes(line))) {
      if (signal.aborted) assert.deepEqual(told, wanted);
      await pause(10);
    }
  };
  return {
    status,
    told,
    until,
    ended,
    get body() {
      return Buffer.concat(chunks).toString();
    },
    pause: () => incoming.pause(),
    resume: () => incoming.resume(),
    leave: () => stream.destroy(),
  };
}

async function room(t: TestContext) {
  const agent = await serveAgent(t, program);
  const root = temporaryDirectory(t);
  const at = (path: string) => join(root, path);
  const open = async (path: string, query: object = {}) => {
    const opened = await watch(agent, path, { root, ...query });
    t.after(() => opened.leave());
    return opened;
  };
  return { agent, root, at, open };
}

/** Processes of the agent that watch. */
function watchersOf(agent: ServedAgent): string[] {
  const children = `/proc/${agent.process.pid}/task/${agent.process.pid}/children`;
  return readFileSync(children, 'utf8')
    .trim()
    .split(' ')
    .filter((pid) => pid !== '');
}

suite('watches of a guest', () => {
  before(() => {
    program = buildHostAgent();
  });

  test('each change of a directory is told, and nothing of those below it', async (t) => {
    const { at, open } = await room(t);
    mkdirSync(at('d/below'), { recursive: true });
    const { told, until, status } = await open('/d');
    assert.equal(status, 200);
    writeFileSync(at('d/a'), 'one');
    await until('created file /d/a');
    appendFileSync(at('d/a'), 'two');
    await until('changed file /d/a');
    renameSync(at('d/a'), at('d/b'));
    await until('moved file /d/a -> /d/b');
    chmodSync(at('d/b'), 0o600);
    await until('changed file /d/b');
    unlinkSync(at('d/b'));
    await until('removed file /d/b');
    mkdirSync(at('d/dir'));
    await until('created directory /d/dir');
    writeFileSync(at('d/dir/unseen'), '');
    writeFileSync(at('d/below/unseen'), '');
    rmSync(at('d/dir'), { recursive: true });
    await until('removed directory /d/dir');
    assert.equal(told.length, 7, told.join('\n'));
  });

  test('the same change within a short time is told once', async (t) => {
    const { at, open } = await room(t);
    const { told, until } = await open('/');
    writeFileSync(at('a'), '');
    for (let index = 0; index < 1000; index += 1) appendFileSync(at('a'), 'more');
    await until('created file /a');
    writeFileSync(at('end'), '');
    await until('created file /end');
    const ofA = told.filter((line) => line.endsWith('/a'));
    // As many as there were short times, and far fewer than there were changes.
    assert.ok(ofA.length < 50, told.join('\n'));
  });

  test('a file that is written beside and renamed was created under its name', async (t) => {
    const { at, open, root, agent } = await room(t);
    const { told, until } = await open('/');
    writeFileSync(at('a.tmp'), 'new');
    renameSync(at('a.tmp'), at('a'));
    await until('created file /a');
    const put = await askFiles(agent.channel, `PUT /a?root=${encodeURIComponent(root)}`, {
      body: 'newer',
    });
    assert.equal(put.status, 200);
    await until('created file /a');
    writeFileSync(at('end'), '');
    await until('created file /end');
    assert.ok(
      told.every((line) => /^created file \/(a|end)$/.test(line)),
      told.join('\n'),
    );
  });

  test('what comes from elsewhere is created, and what goes elsewhere is removed', async (t) => {
    const { at, open } = await room(t);
    mkdirSync(at('d'));
    writeFileSync(at('outside'), '');
    const { until } = await open('/d');
    renameSync(at('outside'), at('d/inside'));
    await until('created file /d/inside');
    renameSync(at('d/inside'), at('outside'));
    await until('removed file /d/inside');
  });

  test('directories below are watched, those that appear with all that is in them', async (t) => {
    const { at, open } = await room(t);
    mkdirSync(at('d/one/two'), { recursive: true });
    mkdirSync(at('ready/x/y'), { recursive: true });
    writeFileSync(at('ready/x/y/file'), '');
    const { told, until } = await open('/d', { recursive: 'true' });
    writeFileSync(at('d/one/two/a'), '');
    await until('created file /d/one/two/a');
    mkdirSync(at('d/new/deep/deeper'), { recursive: true });
    writeFileSync(at('d/new/deep/deeper/b'), '');
    await until(
      'created directory /d/new',
      'created directory /d/new/deep',
      'created directory /d/new/deep/deeper',
      'created file /d/new/deep/deeper/b',
    );
    // What is in a directory that was there before is told, too.
    renameSync(at('ready'), at('d/ready'));
    await until(
      'created directory /d/ready',
      'created directory /d/ready/x',
      'created file /d/ready/x/y/file',
    );
    appendFileSync(at('d/ready/x/y/file'), 'more');
    await until('changed file /d/ready/x/y/file');
    assert.equal(new Set(told).size, told.length, told.join('\n'));
  });

  test('a directory that moves is watched under its new name, or no longer', async (t) => {
    const { at, open } = await room(t);
    mkdirSync(at('d/a/deep'), { recursive: true });
    mkdirSync(at('d/b'));
    mkdirSync(at('elsewhere'));
    const { told, until } = await open('/d', { recursive: 'true' });
    renameSync(at('d/a'), at('d/b/a'));
    await until('moved directory /d/a -> /d/b/a');
    writeFileSync(at('d/b/a/deep/file'), '');
    await until('created file /d/b/a/deep/file');
    renameSync(at('d/b/a'), at('elsewhere/a'));
    await until('removed directory /d/b/a');
    writeFileSync(at('elsewhere/a/deep/unseen'), '');
    renameSync(at('elsewhere/a'), at('d/back'));
    await until('created directory /d/back', 'created file /d/back/deep/unseen');
    writeFileSync(at('d/back/deep/seen'), '');
    await until('created file /d/back/deep/seen');
    assert.ok(!told.some((line) => line.includes('elsewhere')), told.join('\n'));
    assert.ok(!told.includes('created file /d/b/a/deep/unseen'));
  });

  test('hundreds of files in a new directory are all told, each once', async (t) => {
    const { at, open } = await room(t);
    const { told, until } = await open('/', { recursive: 'true' });
    mkdirSync(at('many'));
    for (let index = 0; index < 1500; index += 1) writeFileSync(at(`many/${index}`), '');
    await until(...Array.from({ length: 1500 }, (_, index) => `created file /many/${index}`));
    const created = told.filter((line) => line.startsWith('created'));
    // One that is found while it is made may be told twice when more have changed than are gathered.
    assert.ok(created.length < 1501 + 600, String(created.length));
  });

  test('links lead nowhere: neither out of the root nor below', async (t) => {
    const { at, open, root } = await room(t);
    const outside = temporaryDirectory(t);
    mkdirSync(at('d'));
    mkdirSync(at('real'));
    symlinkSync(outside, at('d/out'));
    symlinkSync('/real', at('link'));
    symlinkSync(outside, at('escape'));
    const { told, until } = await open('/d', { recursive: 'true' });
    writeFileSync(join(outside, 'unseen'), '');
    symlinkSync(outside, at('d/later'));
    await until('created file /d/later');
    writeFileSync(join(outside, 'unseen too'), '');
    writeFileSync(at('d/end'), '');
    await until('created file /d/end');
    assert.equal(told.length, 2, told.join('\n'));
    // An absolute link begins at the root.
    const followed = await open('/link');
    writeFileSync(at('real/a'), '');
    await followed.until('created file /link/a');
    const outward = await open('/escape');
    await outward.ended;
    assert.deepEqual([outward.status, JSON.parse(outward.body).code], [404, 'FILE_NOT_FOUND']);
    assert.ok(existsSync(root));
  });

  test('names with any characters are told', async (t) => {
    const { root, open } = await room(t);
    const { until } = await open('/');
    writeFileSync(join(root, 'two words "and" ü'), '');
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.of(0x61, 0xff, 0x0a)]), '');
    await until('created file /two words "and" ü', 'created file /%61%FF%0A');
  });

  test('the watch ends with its directory: removed, moved, or never there', async (t) => {
    const { at, open } = await room(t);
    mkdirSync(at('removed'));
    mkdirSync(at('moved'));
    writeFileSync(at('file'), '');
    const removed = await open('/removed');
    rmdirSync(at('removed'));
    await removed.until('end directory_gone');
    await removed.ended;
    const moved = await open('/moved', { recursive: 'true' });
    writeFileSync(at('moved/last'), '');
    renameSync(at('moved'), at('away'));
    await moved.until('created file /moved/last', 'end directory_gone');
    const codeOf = async (path: string) => {
      const refused = await open(path);
      await refused.ended;
      return `${refused.status} ${JSON.parse(refused.body).code}`;
    };
    assert.equal(await codeOf('/none'), '404 FILE_NOT_FOUND');
    assert.equal(await codeOf('/file'), '409 FILE_TYPE_CONFLICT');
  });

  test('the kernel shows no changes in /proc, and the agent says so', async (t) => {
    const agent = await serveAgent(t, program);
    const refused = await watch(agent, '/proc', {});
    await refused.ended;
    assert.deepEqual([refused.status, JSON.parse(refused.body).code], [409, 'FILE_TYPE_CONFLICT']);
  });

  test('a reader that does not read is told that changes were lost, and sees all that follow', async (t) => {
    const { at, open } = await room(t);
    const slow = await open('/', { recursive: 'true' });
    const queued = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
    slow.pause();
    mkdirSync(at('d'));
    // Each of them is two changes of another name than the one before, so nothing is told once for both.
    for (let index = 0; index < queued; index += 1) {
      writeFileSync(at(`d/${index % 7}`), '');
      unlinkSync(at(`d/${index % 7}`));
    }
    mkdirSync(at('d/late'));
    slow.resume();
    await slow.until('overflow');
    writeFileSync(at('d/late/seen'), '');
    await slow.until('created file /d/late/seen');
  });

  test(`a guest has ${WATCHES_MAX} watches, beside its transfers, and a process for each until its reader goes`, async (t) => {
    const { agent, open, at, root } = await room(t);
    const watches = [];
    for (let index = 0; index < WATCHES_MAX; index += 1) watches.push(await open('/'));
    const one = await open('/');
    await one.ended;
    assert.deepEqual([one.status, JSON.parse(one.body).code], [503, 'OVERLOADED']);
    writeFileSync(at('a'), '');
    for (const { until } of watches) await until('created file /a');
    const listed = await askFiles(agent.channel, `GET /?root=${encodeURIComponent(root)}`);
    assert.equal(listed.status, 200);
    const untilThereAre = async (count: number) => {
      const signal = soon();
      while (watchersOf(agent).length !== count) {
        assert.ok(!signal.aborted, `${watchersOf(agent).length} processes are left`);
        await pause(20);
      }
    };
    await untilThereAre(WATCHES_MAX);
    for (const { leave } of watches) leave();
    await untilThereAre(0);
    assert.deepEqual(readdirSync(root), ['a']);
    const again = await open('/');
    assert.equal(again.status, 200);
  });
});
