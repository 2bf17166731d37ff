// A power cut at any moment: what was answered is there, whatever part of the writes that nobody had synced has reached the
// disk. The writes of a real store are traced and played back up to each moment.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dataFileOf } from '../../src/store/env.ts';
import { openStore } from '../../src/store/store.ts';
import { silentLog } from '../engine/fakes.ts';
import { PROJECT_ROOT, requireCapability } from '../helpers/capabilities.ts';

const KINDS = { 1: 'write', 2: 'synced write', 3: 'sync', 4: 'cut', 5: 'told' } as const;
const HEAD_BYTES = 13;
/** A disk may have written some of these of one write, and not the others. */
const BLOCK_BYTES = 4096;
const COMMITS = 80;
const MOMENTS_MAX = 300;

interface Entry {
  readonly kind: (typeof KINDS)[keyof typeof KINDS];
  readonly offset: number;
  readonly content: Buffer;
}

type Change = Pick<Entry, 'kind' | 'offset' | 'content'>;

function entriesIn(trace: Buffer): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + HEAD_BYTES <= trace.length; ) {
    const length = trace.readUInt32LE(at + 9);
    const content = trace.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    // The process was killed while it wrote down the last one.
    if (content.length < length) break;
    const kind = KINDS[trace.readUInt8(at) as keyof typeof KINDS];
    entries.push({ kind, offset: Number(trace.readBigUInt64LE(at + 1)), content });
    at += HEAD_BYTES + length;
  }
  return entries;
}

/** What a disk has of a file. */
class Disk {
  #bytes: Buffer = Buffer.alloc(0);
  /** Written, and not synced: each may be there or not. */
  readonly #pending: Change[] = [];

  take(entry: Entry): void {
    if (entry.kind === 'sync') {
      for (const change of this.#pending.splice(0)) this.#bytes = applied(this.#bytes, change);
    } else if (entry.kind === 'synced write') this.#bytes = applied(this.#bytes, entry);
    else if (entry.kind !== 'told') this.#pending.push(...blocksOf(entry));
  }

  /** After a cut; `isThere` chooses among what was not synced. */
  after(isThere: () => boolean): Buffer {
    return this.#pending
      .filter(isThere)
      .reduce<Buffer>((bytes, change) => applied(bytes, change), Buffer.from(this.#bytes));
  }
}

function blocksOf(entry: Entry): readonly Change[] {
  if (entry.kind === 'cut') return [entry];
  const count = Math.ceil(entry.content.length / BLOCK_BYTES);
  return Array.from({ length: count }, (_, index) => ({
    kind: entry.kind,
    offset: entry.offset + index * BLOCK_BYTES,
    content: entry.content.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES),
  }));
}

function applied(bytes: Buffer, { kind, offset, content }: Change): Buffer {
  const size = kind === 'cut' ? offset : Math.max(bytes.length, offset + content.length);
  const next = size === bytes.length ? bytes : Buffer.alloc(size);
  if (next !== bytes) bytes.copy(next);
  content.copy(next, offset);
  return next;
}

/** The entries of a store that commits as fast as it can and tells each number. */
async function trace(directory: string): Promise<readonly Entry[]> {
  const [library, file] = [join(directory, 'trace.so'), join(directory, 'trace')];
  const source = join(PROJECT_ROOT, 'test/store/trace-writes.c');
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, source]);
  const writer = fileURLToPath(new URL('./writer.js', import.meta.url));
  const child = spawn(process.execPath, [writer, join(directory, 'state')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LD_PRELOAD: library, VOLANT_TRACE: file },
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (Number(line) >= COMMITS) child.kill('SIGKILL');
  }
  return entriesIn(readFileSync(file));
}

async function checkRecords(directory: string, file: Buffer, told: number, when: string) {
  mkdirSync(directory);
  writeFileSync(dataFileOf(directory), file);
  const store = openStore(directory, silentLog);
  const { lastSequence, lastVmId } = store.load();
  const sequences = store.eventsAfter(0, 1_000_000).map(({ sequence }) => sequence);
  await store.close();
  rmSync(directory, { recursive: true });
  assert.ok(lastSequence >= told, `${when}: ${lastSequence} is the last, ${told} was told`);
  assert.equal(lastVmId, lastSequence, when);
  assert.deepEqual(
    sequences,
    sequences.map((_, index) => index + 1),
    when,
  );
}

test('whatever of the writes without sync is there, what was answered is', async (t) => {
  if (!requireCapability(t, 'gcc')) return;
  const directory = mkdtempSync(join(tmpdir(), 'volant-power-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const entries = await trace(directory);
  const firstTold = entries.findIndex(({ kind }) => kind === 'told');
  assert.ok(firstTold > 0);
  assert.ok(entries.filter(({ kind }) => kind === 'sync' || kind === 'synced write').length > 20);
  const stride = Math.ceil((entries.length - firstTold) / MOMENTS_MAX);
  const disk = new Disk();
  let told = 0;
  let state = 1;
  const random = () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
  for (const [index, entry] of entries.entries()) {
    disk.take(entry);
    if (entry.kind === 'told') {
      const last = entry.content.toString().trim().split('\n').at(-1);
      told = Math.max(told, Number(last));
    }
    if (index < firstTold || (index - firstTold) % stride !== 0) continue;
    const choices = [() => false, () => true, () => random() < 0.5];
    for (const [which, isThere] of choices.entries()) {
      const when = `moment ${index} of ${entries.length}, choice ${which}`;
      await checkRecords(join(directory, `cut-${index}-${which}`), disk.after(isThere), told, when);
    }
  }
  assert.ok(told >= COMMITS - 5);
  t.diagnostic(`${entries.length} entries, ${told} commits told`);
});
