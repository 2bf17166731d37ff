// What is relied on for every input: the parsers of what guests, hypervisors, files and clients say hold for all
// inputs that are kept, and for some thousand changed ones, the same in every run. `npm run fuzz` looks for more.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { promisify } from 'node:util';
import { loadScript } from '../scripts/load.ts';
import { corpusOf, KEPT_BYTES_MAX, readCorpus } from './corpus.ts';
import { fuzz } from './engine.ts';
import { mutate, Random } from './mutate.ts';
import { TARGETS } from './targets.ts';

interface GuestTarget {
  readonly name: string;
  readonly program: string;
}

const { GUEST_TARGETS, buildWithDriver } = await loadScript<{
  GUEST_TARGETS: readonly GuestTarget[];
  buildWithDriver(target: GuestTarget, directory: string): Promise<string>;
}>('lib/tests/fuzz-guest.mjs');

const run = promisify(execFile);

const SEED = 20;
/** Those that wait for streams take longer for each. */
const CHANGES = 2_000;
const CHANGES_OF_STREAMS = 150;
const STREAMS = ['agent-streams', 'event-stream', 'guest-answers'];
const GUEST_CHANGES = 3_000;
/** Each has streams and sockets of its own. */
const GUEST_CHANGES_OF_STREAMS = 200;
/** What shows a slow parser is long. */
const LONG_BYTES_MAX = 64 * 1024;

suite('parsers of the daemon', () => {
  for (const target of TARGETS) {
    test(target.name, async () => {
      const corpus = readCorpus(target.name);
      assert.ok(corpus.length > 1, 'there are inputs to begin with');
      const runsMax =
        corpus.length + (STREAMS.includes(target.name) ? CHANGES_OF_STREAMS : CHANGES);
      const goesOn = (runs: number) => runs < runsMax;
      const { finding } = await fuzz(target, { seed: SEED, corpus, goesOn, guided: false });
      assert.equal(finding?.error.stack, undefined, finding?.input.toString('base64'));
    });
  }
});

suite('parsers of the agent', () => {
  for (const target of GUEST_TARGETS) {
    test(target.name, async (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'volant-fuzz-'));
      t.after(() => rmSync(directory, { recursive: true, force: true }));
      const program = await buildWithDriver(target, directory);
      const isSlow = target.name === 'guest-frames';
      const changes = String(isSlow ? GUEST_CHANGES_OF_STREAMS : GUEST_CHANGES);
      // A check that fails ends it with a status, which throws here.
      const { stdout } = await run(program, [corpusOf(target.name), changes, String(SEED)]);
      const kept = readdirSync(corpusOf(target.name)).length;
      assert.equal(stdout, `${kept} ${changes}\n`);
    });
  }
});

test('every target has inputs, and there are none of others', () => {
  const names = [...TARGETS, ...GUEST_TARGETS].map(({ name }) => name);
  assert.deepEqual(readdirSync(corpusOf('.')).sort(), names.sort());
  for (const name of names) {
    const long = readCorpus(name).filter((input) => input.length > LONG_BYTES_MAX);
    assert.equal(long.length, 0, `${name} has short inputs`);
  }
});

test('the same seed makes the same inputs, within their bound', () => {
  const target = { bytesMax: 100, tokens: ['token'], isJson: true };
  const inputsOf = (seed: number) => {
    const random = new Random(seed);
    const input = Buffer.from('{"a":[1,{"b":"c"}]}');
    return Array.from({ length: 500 }, () => mutate(random, input, input, target));
  };
  const inputs = inputsOf(1);
  assert.deepEqual(inputs, inputsOf(1));
  assert.notDeepEqual(inputs, inputsOf(2));
  assert.ok(inputs.every((input) => input.length <= target.bytesMax));
  assert.ok(KEPT_BYTES_MAX <= LONG_BYTES_MAX);
});

test('what does not hold is found, and shown by a short input', async () => {
  const target = {
    name: 'example',
    bytesMax: 200,
    tokens: [],
    run: (input: Buffer) => {
      if (input.includes('X')) throw new Error('there is an X');
    },
  };
  const corpus = [Buffer.from('a'.repeat(50))];
  const goesOn = (runs: number) => runs < 50_000;
  const { finding } = await fuzz(target, { seed: 1, corpus, goesOn, guided: true });
  assert.equal(finding?.error.message, 'there is an X');
  assert.equal(finding?.input.toString(), 'X');
});
