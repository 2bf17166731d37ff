// What a plugin's author relies on in the agent: the program is run as the manifest says, its lines can
// be read, its end is reported and it is started again, and its health is what its endpoint answers.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { shareHostAgent, temporaryDirectory } from './programs.ts';
import {
  get,
  httpServer,
  listening,
  manifestFor,
  rawSocket,
  type ServedAgent,
  serveAgent,
  soon,
} from './served-agent.ts';

let program = '';

interface Line {
  readonly stream: string;
  readonly timestamp: string;
  readonly line: string;
}

/** A reader of the log; `until` reads on until its text is as wanted. */
async function readLog(t: TestContext, { port }: ServedAgent, query = '') {
  const outgoing = httpGet({ port, path: `/v1/logs/stream${query}`, agent: false });
  t.after(() => outgoing.destroy());
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  incoming.on('error', () => undefined);
  incoming.setEncoding('utf8');
  let text = '';
  const lines = (): Line[] =>
    [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, data = '']) => JSON.parse(data));
  incoming.on('data', (chunk) => {
    text += chunk;
  });
  const until = async (wanted: (lines: readonly Line[], text: string) => boolean) => {
    const signal = soon();
    while (!wanted(lines(), text)) {
      if (signal.aborted) throw new Error(`not what was waited for:\n${text}`);
      if (incoming.closed) throw new Error(`the log has ended:\n${text}`);
      await pause(5);
    }
    return lines();
  };
  return { until, leave: () => outgoing.destroy() };
}

async function running(t: TestContext, script: string, more: object = {}): Promise<ServedAgent> {
  const agent = await serveAgent(t, program);
  const manifest = manifestFor(null, { entrypoint: ['/bin/sh', '-c', script], ...more });
  assert.equal((await agent.ask('PUT', '/agent/manifest', manifest)).status, 204);
  return agent;
}

const textsOf = (lines: readonly Line[]) => lines.map(({ line }) => line);

/** What the agent says of an end for good: exit code and signal, -1 for the one that it is not. */
async function endOf({ process: agent }: ServedAgent): Promise<string> {
  let text = '';
  agent.stdout?.on('data', (chunk) => {
    text += chunk;
  });
  if (agent.exitCode === null) await once(agent, 'close');
  return text.trim();
}

suite('workload of the agent', () => {
  shareHostAgent((path) => {
    program = path;
  });

  test('arguments, environment and directory are as they were given', async (t) => {
    const agent = await serveAgent(t, program);
    const manifest = manifestFor(null, {
      entrypoint: [
        '/bin/sh',
        '-c',
        'pwd; echo "[$A][$0][$HOME]"; echo "$PATH" >&2; sleep 100',
        ' x ',
      ],
      env: { A: '  spaces, "quotes", ä€ and $B  ' },
      workdir: '/usr',
    });
    await agent.ask('PUT', '/agent/manifest', manifest);
    const log = await readLog(t, agent);
    const lines = await log.until((found) => found.length === 3);
    const of = (wanted: string) => textsOf(lines.filter(({ stream }) => stream === wanted));
    assert.deepEqual(of('stdout'), ['/usr', '[  spaces, "quotes", ä€ and $B  ][ x ][/root]']);
    assert.deepEqual(of('stderr'), [
      '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
    for (const { timestamp } of lines) {
      assert.equal(new Date(timestamp).toISOString(), timestamp);
    }
    const second = await agent.ask('PUT', '/agent/manifest', manifest);
    assert.deepEqual(
      [second.status, second.body],
      [409, '{"error":"there is a manifest already"}'],
    );
  });

  test('the log: what is kept comes first, then what is new; long lines are split, the newest are kept', async (t) => {
    const script = [
      'i=0; while [ $i -lt 1500 ]; do echo "line $i"; i=$((i+1)); done',
      'printf "%01024d\\n%01025d\\n" 1 2; printf "\\001\\047\\042\\134\\t|\\n\\nno end"',
      'read -r _ < "$PIPE"; echo; echo "and more"; exec sleep 100',
    ].join('; ');
    const pipe = `${temporaryDirectory(t)}/pipe`;
    const agent = await running(t, `mkfifo "$PIPE"; ${script}`, { env: { PIPE: pipe } });
    const early = await readLog(t, agent);
    const cut = ['0'.repeat(1023).concat('1'), '0'.repeat(1024), '2', '\u0001\'"\\\t|', ''];
    await early.until((found) => found.at(-1)?.line === '' && found.length >= 1000);
    const late = textsOf(await (await readLog(t, agent)).until((found) => found.length === 1024));
    assert.deepEqual(late.slice(-5), cut);
    assert.deepEqual(late.slice(0, 2), ['line 481', 'line 482'], 'the newest 1024');
    const tail = await readLog(t, agent, '?tail=2');
    assert.deepEqual(textsOf(await tail.until((found) => found.length === 2)), cut.slice(-2));
    // Each line has its number, also of those that are kept no more.
    const after = await readLog(t, agent, '?after=1502');
    const numbered = (text: string) =>
      [...text.matchAll(/^id: (\d+)\ndata: /gm)].map(([, id]) => id);
    const rest = await after.until((_found, text) => numbered(text).join() === '1503,1504');
    assert.deepEqual(textsOf(rest), cut.slice(-2));
    const gone = await readLog(t, agent, '?after=3');
    await gone.until((found, text) => found.length === 1024 && numbered(text)[0] === '481');
    await writeFile(pipe, 'go\n');
    const more = await tail.until((found) => found.length === 4);
    assert.deepEqual(textsOf(more).slice(2), ['no end', 'and more']);
  });

  test('the log is UTF-8, whatever the workload writes and wherever a line is split', async (t) => {
    // Characters of three and four bytes over the places where a line is cut, and bytes that are none.
    const script = [
      "i=0; while [ $i -lt 700 ]; do printf '\\342\\202\\254'; i=$((i+1)); done; echo",
      "printf 'x'; i=0; while [ $i -lt 300 ]; do printf '\\360\\237\\230\\200'; i=$((i+1)); done; echo",
      "printf 'a\\377b\\303\\n\\355\\240\\200|\\300\\257|\\364\\220\\200\\200|\\342\\202\\n'; exec sleep 100",
    ].join('; ');
    const agent = await running(t, script);
    const raw = await rawSocket(t, agent.port);
    let bytes = Buffer.alloc(0);
    raw.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
    });
    raw.write('GET /v1/logs/stream HTTP/1.1\r\n\r\n');
    const complete = () => bytes.toString().split('data: ').length === 8;
    while (!complete()) await once(raw, 'data');
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const lines = [...text.matchAll(/^data: (.*)$/gm)].map(
      ([, json = '']) => JSON.parse(json).line,
    );
    const [euros, faces, noise] = [lines.slice(0, 3), lines.slice(3, 5), lines.slice(5)];
    assert.equal(euros.join(''), '\u20ac'.repeat(700));
    assert.equal(faces.join(''), `x${'\u{1f600}'.repeat(300)}`);
    const none = '\ufffd';
    assert.deepEqual(noise, [
      `a${none}b${none}`,
      `${none.repeat(3)}|${none.repeat(2)}|${none.repeat(4)}|${none.repeat(2)}`,
    ]);
  });

  test('a silent log has a heartbeat, also after other readers have left', async (t) => {
    const agent = await running(t, 'echo ready; exec sleep 100');
    const readers = await Promise.all(Array.from({ length: 8 }, () => readLog(t, agent)));
    await Promise.all(readers.map(({ until }) => until((found) => found.length === 1)));
    const [staying, ...leaving] = readers;
    for (const { leave } of leaving) leave();
    await staying?.until((_, text) => text.endsWith(': heartbeat\n\n'));
    assert.equal((await get(agent.port, '/healthz')).status, 200);
  });

  test('a program that ends is started again after pauses that grow, and the way it ended is reported', async (t) => {
    const agent = await running(t, 'echo started; kill -9 $$');
    const log = await readLog(t, agent);
    const first = await agent.until(({ state }) => state === 'backoff');
    assert.deepEqual([first.pid, first.healthy, first.last_exit], [0, false, 'killed by signal 9']);
    const lines = await log.until((found) => found.length === 3);
    const [one = 0, two = 0, three = 0] = lines.map(({ timestamp }) => Date.parse(timestamp));
    // Half a second and one, less what a line may be late; a slow machine only makes them longer.
    assert.ok(two - one > 400 && three - two > 900, `${two - one}, ${three - two} ms`);
    assert.ok((await agent.workload()).restarts >= 2);
    const missing = await running(t, 'exit 0', { entrypoint: ['/nonexistent/program'] });
    const { last_exit } = await missing.until(({ state }) => state === 'backoff');
    assert.equal(last_exit, 'cannot execute /nonexistent/program: No such file or directory');
    const [{ line } = { line: '' }] = await (await readLog(t, missing)).until(
      (found) => found.length > 0,
    );
    assert.match(line, /cannot execute \/nonexistent\/program: No such file/);
  });

  test('what cannot be executed never runs, and the reason is reported', async (t) => {
    const directory = temporaryDirectory(t);
    const script = `${directory}/script`;
    await writeFile(script, '#!/nonexistent/interpreter\n', { mode: 0o755 });
    const cases: [object, string][] = [
      [{ entrypoint: ['nonexistent'] }, 'cannot execute nonexistent: No such file or directory'],
      [{ entrypoint: [directory] }, `cannot execute ${directory}: Permission denied`],
      [{ entrypoint: [script] }, `cannot execute ${script}: its interpreter or loader is missing`],
      [{ workdir: '/nonexistent' }, 'cannot enter /nonexistent: No such file or directory'],
    ];
    for (const [more, why] of cases) {
      const agent = await running(t, 'exec sleep 100', more);
      const seen = await agent.until(({ state, restarts }) => {
        assert.notEqual(state, 'running', why);
        return restarts >= 2;
      });
      assert.equal(seen.last_exit, why);
      assert.equal(seen.reason, `the entrypoint ended: ${why}`);
    }
  });

  test('a program that puts itself into the background is reported as such', async (t) => {
    const daemon = 'setsid sleep 30 >/dev/null 2>&1 & sleep 0.2; echo left; exit 0';
    const agent = await running(t, daemon);
    const { reason, last_exit } = await agent.until(({ restarts }) => restarts >= 1);
    assert.equal(last_exit, 'exit status 0');
    assert.match(reason, /left \d processes in the background: it must stay in the foreground/);
    const ended = await running(t, 'exit 0');
    const { reason: plain } = await ended.until(({ restarts }) => restarts >= 1);
    assert.equal(plain, 'the entrypoint ended: exit status 0');
  });

  test('an endpoint that cannot be asked for is reported; the program runs', async (t) => {
    const agent = await serveAgent(t, program);
    const manifest = JSON.parse(manifestFor(null));
    manifest.health_check = { endpoint: 'no slash' };
    await agent.ask('PUT', '/agent/manifest', JSON.stringify(manifest));
    const { healthy, reason } = await agent.until(({ state }) => state === 'running');
    assert.equal(healthy, false);
    assert.match(reason, /health_check.endpoint must be a path/);
  });

  test('what a program leaves behind in its group ends with it, and no orphan stays', async (t) => {
    const agent = await running(t, 'sleep 1000 & echo $!; echo $$; kill -9 $$');
    const [child, own] = textsOf(
      await (await readLog(t, agent)).until((found) => found.length >= 2),
    ).map(Number);
    await agent.until(({ restarts }) => restarts >= 1);
    for (const pid of [child, own]) await gone(pid ?? 0);
  });

  test('health: starting until the first success, then what each check says', async (t) => {
    let status = 503;
    const asked: string[] = [];
    const server = await listening(
      t,
      httpServer((incoming, answer) => {
        asked.push(`${incoming.method} ${incoming.url}`);
        answer.writeHead(status).end();
      }),
    );
    const agent = await serveAgent(t, program);
    const manifest = JSON.parse(manifestFor(server));
    manifest.health_check = { endpoint: '/ready?x', timeout_ms: 300 };
    await agent.ask('PUT', '/agent/manifest', JSON.stringify(manifest));
    assert.deepEqual(
      await agent.until(({ healthy }) => healthy === false).then(({ state }) => state),
      'starting',
      'not killed when its time is over',
    );
    status = 204;
    const good = await agent.until(({ healthy }) => healthy === true);
    assert.deepEqual([good.state, good.restarts], ['running', 0]);
    assert.equal(asked[0], 'GET /base/ready?x');
    status = 500;
    const bad = await agent.until(({ healthy }) => healthy === false);
    assert.deepEqual([bad.state, bad.pid], ['running', good.pid]);
    const unchecked = await running(t, 'exec sleep 100');
    assert.equal((await unchecked.until(({ state }) => state === 'running')).healthy, null);
  });

  test('a manifest that cannot be run is a failed workload with a reason', async (t) => {
    const workload = JSON.parse(manifestFor(null)).workload;
    const variables = Array.from({ length: 600 }, (_, index) => [`V${index}`, '1']);
    const cases: [string, RegExp][] = [
      ['{"workload":', /is not JSON with a workload/],
      ['{}', /is not JSON with a workload/],
      [JSON.stringify({ workload: { ...workload, entrypoint: [] } }), /no usable entrypoint/],
      [JSON.stringify({ workload: { ...workload, entrypoint: [1] } }), /no usable entrypoint/],
      [JSON.stringify({ workload: { ...workload, base_url: 'https://x' } }), /base_url must be/],
      [JSON.stringify({ workload: { ...workload, base_url: 'http://name' } }), /base_url must be/],
      [
        JSON.stringify({ workload: { ...workload, env: Object.fromEntries(variables) } }),
        /too many variables/,
      ],
    ];
    for (const [text, why] of cases) {
      const agent = await serveAgent(t, program);
      assert.equal((await agent.ask('PUT', '/agent/manifest', text)).status, 204);
      const { state, last_exit } = await agent.workload();
      assert.equal(state, 'failed');
      assert.match(last_exit, why);
    }
    const agent = await serveAgent(t, program);
    assert.equal((await agent.ask('PUT', '/agent/manifest', '')).status, 400);
  });

  test('a power-off lets the workload end in good order, and ends one that does not', async (t) => {
    const polite = await running(
      t,
      'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done',
    );
    const log = await readLog(t, polite);
    await log.until((found) => found.length === 1);
    const ended = once(polite.process, 'exit');
    assert.equal((await polite.ask('POST', '/agent/poweroff')).status, 202);
    // The last words of a workload are still read.
    await log.until((found) => textsOf(found).includes('bye'));
    assert.deepEqual(await ended, [0, null]);
    const rude = await running(t, 'trap "" TERM; echo $$; while :; do sleep 0.05; done');
    const [pid] = textsOf(await (await readLog(t, rude)).until((found) => found.length === 1));
    await rude.ask('POST', '/agent/poweroff');
    await once(rude.process, 'exit');
    await gone(Number(pid));
  });

  test('who asks for a power-off says how long the workload gets, and the last word counts', async (t) => {
    const rude = await running(t, 'trap "" TERM; echo up; while :; do sleep 0.05; done');
    await (await readLog(t, rude)).until((found) => found.length === 1);
    const ended = once(rude.process, 'exit');
    const startedMs = performance.now();
    assert.equal((await rude.ask('POST', '/agent/poweroff?timeout_ms=3600000')).status, 202);
    await pause(100);
    assert.equal((await rude.ask('POST', '/agent/poweroff?timeout_ms=500')).status, 202);
    await ended;
    const tookMs = performance.now() - startedMs;
    // Where nobody says anything it is 2 s here.
    assert.ok(tookMs > 550 && tookMs < 1_900, `${tookMs} ms`);
  });

  test('one that is not to be started again ends the guest, with its exit code or signal', async (t) => {
    const never = { restart: 'never' };
    // Each ends after the test listens.
    const ends = [
      ['sleep 0.3; exit 7', never, 'ended 7 -1'],
      ['sleep 0.3; kill -9 $$', never, 'ended -1 9'],
      ['sleep 0.3', { restart: 'on-failure' }, 'ended 0 -1'],
    ] as const;
    for (const [script, more, expected] of ends) {
      assert.equal(await endOf(await running(t, script, more)), expected, script);
    }
    const failing = await running(t, 'exit 3', { restart: 'on-failure' });
    const { exit_code: code } = await failing.until(({ restarts }) => restarts > 1);
    assert.equal(code, 3);
  });

  test('one of an unknown policy is not started', async (t) => {
    const agent = await running(t, 'exit 0', { restart: 'sometimes' });
    const { state, last_exit: why } = await agent.workload();
    assert.deepEqual([state, why], ['failed', 'restart must be always, on-failure or never']);
  });
});

/** Resolves when no process has the pid: killed ones stay until somebody has reaped them. */
async function gone(pid: number): Promise<void> {
  const signal = soon();
  while (exists(pid)) {
    signal.throwIfAborted();
    await pause(20);
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
