// test helpers: what may be true of a VM after what was asked and answered, and what must be true of a daemon when it has
// come to rest. An answered request has happened; one without an answer has happened wholly or not at all.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { type Answer, type Daemon, isAlive } from './daemon.ts';

const REST_MS = 60_000;
const SILENCE_MS = 500;
const FIRST_EVENT_MS = 30_000;

export type Fate = 'absent' | 'running' | 'stopped' | 'crashed';

type Answered = Awaited<ReturnType<typeof ask>>;

/** What may be true of each VM by now. */
export class Story {
  readonly #fates = new Map<string, ReadonlySet<Fate>>();
  /** Of VMs that nobody has asked anything of since: their guests must not have been restarted. */
  readonly #pids = new Map<string, number>();

  fatesOf(name: string): ReadonlySet<Fate> {
    return this.#fates.get(name) ?? new Set<Fate>(['absent']);
  }

  names(): readonly string[] {
    return [...this.#fates.keys()];
  }

  /** `wanted` is what the request makes of the VM; `between` what it may be when it stops half-way. */
  tell(name: string, answer: Answered, wanted: Fate, between: readonly Fate[] = []): void {
    if (answer === 'unsent') return;
    this.#pids.delete(name);
    const before = this.fatesOf(name);
    const isDone = answer !== null && answer.status < 300;
    // Refused for what it is: nothing has happened. Any other error may be told while it is tried on.
    const isRefused = answer !== null && answer.status >= 400 && answer.status < 500;
    if (isDone) this.#fates.set(name, new Set([wanted]));
    else if (!isRefused) this.#fates.set(name, new Set([...before, wanted, ...between]));
  }

  /** It ended by itself. */
  tellCrash(name: string): void {
    this.#pids.delete(name);
    const fates = [...this.fatesOf(name)].map((fate) => (fate === 'running' ? 'crashed' : fate));
    this.#fates.set(name, new Set<Fate>(fates));
  }

  /** Nothing is asked of it from here on: it must stay the guest that it is. */
  tellPid(name: string, pid: number): void {
    this.#pids.set(name, pid);
  }

  /** That the daemon, come to rest, is in one of the states that the story allows, and its host too. */
  async check(daemon: Daemon): Promise<void> {
    await comeToRest(daemon);
    const { body: vms } = await daemon.call('GET', '/api/v1/vms');
    const byName = new Map<string, { status: Fate; pid?: number }>(
      vms.map((vm: { name: string }) => [vm.name, vm]),
    );
    for (const [name, fates] of this.#fates) {
      const vm = byName.get(name);
      const fate = vm?.status ?? 'absent';
      assert.ok(fates.has(fate), `${name} is ${fate}, not ${[...fates].join(' or ')}`);
      if (fate === 'running') assert.ok(isAlive(vm?.pid), `${name} has no process`);
      const pid = this.#pids.get(name);
      if (pid !== undefined) assert.equal(vm?.pid, pid, `the guest of ${name} was restarted`);
    }
    await checkHost(daemon);
  }
}

/** That the host of a daemon that has come to rest is as its records say, and no event is missing. */
export async function checkHost(daemon: Daemon): Promise<void> {
  const { body: report } = await daemon.call('GET', '/api/v1/system/audit');
  assert.deepEqual([report.clean, report.differences], [true, []]);
  await checkEvents(daemon);
}

/** Waits until no VM is on its way, and the host is as the records say. */
export async function comeToRest(daemon: Daemon): Promise<void> {
  const deadline = Date.now() + REST_MS;
  for (;;) {
    const { body, text } = await daemon.call('GET', '/api/v1/system/audit');
    if (body?.in_progress?.length === 0 && body.clean) return;
    if (Date.now() > deadline) throw new Error(`the daemon does not come to rest: ${text}`);
    await pause(20);
  }
}

/** That the numbers of the events are dense. */
async function checkEvents({ url }: Daemon): Promise<void> {
  const abort = new AbortController();
  const { body } = await fetch(`${url}/api/v1/events?after=0`, { signal: abort.signal });
  assert.ok(body);
  const reader = body.getReader();
  let text = '';
  let next = reader.read();
  for (;;) {
    // Silence is an end only after the first event.
    const silenceMs = text.includes('\nid: ') ? SILENCE_MS : FIRST_EVENT_MS;
    const chunk = await Promise.race([next, pause(silenceMs, null)]);
    if (chunk === null || chunk.done) break;
    text += Buffer.from(chunk.value).toString();
    next = reader.read();
  }
  next.catch(() => undefined);
  abort.abort();
  const whole = text.slice(0, text.lastIndexOf('\n\n') + 2);
  const numbers = [...whole.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  assert.ok(numbers.length > 0);
  const first = numbers[0] ?? 0;
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => first + index),
    'a gap in the events',
  );
}

/** null when the daemon went away before it answered, 'unsent' when it was not there to be asked. */
export async function ask(
  daemon: Daemon,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer | null | 'unsent'> {
  try {
    return await daemon.call(method, `/api/v1/${path}`, body);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
    return code === 'ECONNREFUSED' ? 'unsent' : null;
  }
}

/** Numbers from 0 up to 1; a seed makes the same ones each time. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
