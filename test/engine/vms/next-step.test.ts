// That every VM comes to what is wanted of it, whatever goes wrong on the way: the steps are taken in a small world that
// fails and forgets at random. The seed of a run that fails is in its message.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { VmRecord } from '../../../src/engine/records.ts';
import { changed, statusOf } from '../../../src/engine/vm-record/status.ts';
import { nextStep, type RuntimeFacts, type StepName } from '../../../src/engine/vms/next-step.ts';
import { vmRecord } from '../../http/fake-engine.ts';

const STEPS_MAX = 40;

/** Numbers from 0 to 1 that are the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** One VM, its host and the daemon that looks after it. What the host has outlives the daemon's knowledge. */
class SmallWorld {
  record: VmRecord | null;
  readonly taken: StepName[] = [];
  #hasProcess = false;
  #holds = false;
  #sight: RuntimeFacts;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
    this.record = changed(
      vmRecord(1, 'vm', { process: null, neverRan: true }),
      { observed: { launch: 0 } },
      0,
    );
    this.#sight = { process: 'gone', isReleased: true, releaseFailed: false, launchFailed: false };
  }

  get isRunning(): boolean {
    return this.#hasProcess;
  }

  get holdsNothing(): boolean {
    return !this.#hasProcess && !this.#holds;
  }

  want(state: 'running' | 'stopped' | 'deleted'): void {
    if (this.record === null || this.record.wanted.state === 'deleted') return;
    const { launch } = this.record.wanted;
    const again =
      state === 'running' && ['running', 'stopped', 'crashed'].includes(this.record.status);
    const observed = again ? { attempt: 1, isReleased: false } : {};
    if (state === 'running' && !again) return;
    this.#change({ wanted: { state, launch: again ? launch + 1 : launch }, observed });
  }

  /** The daemon is killed, and another one starts: it knows nothing but the record. */
  killDaemon(): void {
    this.#sight = {
      process: 'unknown',
      isReleased: false,
      releaseFailed: false,
      launchFailed: false,
    };
  }

  /** The hypervisor ends by itself. */
  crash(): void {
    this.#hasProcess = false;
    if (this.#sight.process === 'alive') this.#observe({ process: 'gone' });
  }

  /** Takes steps until there is none. `failing` is the probability that one goes wrong, at any point of it. */
  converge(failing: number): void {
    for (let count = 0; this.record !== null; count += 1) {
      const step = nextStep(this.record, this.#sight);
      if (step === null) return;
      assert.ok(count < STEPS_MAX, `no end: ${this.taken.join(' ')}`);
      this.taken.push(step);
      if (this.#random() < failing) this.#failAt(step);
      else this.#take(step, this.record);
    }
  }

  #failAt(step: StepName): void {
    if (step === 'launch') {
      // It may have come to anything: half of its things, or a process that does not answer.
      this.#holds = this.#random() < 0.7;
      this.#hasProcess = this.#holds && this.#random() < 0.5;
      const process = this.#hasProcess ? 'alive' : 'gone';
      this.#observe({ process, isReleased: !this.#holds, launchFailed: true });
    } else if (step === 'noteRunning') this.#observe({ launchFailed: true });
    else if (step === 'release') this.#observe({ releaseFailed: true });
  }

  #take(step: StepName, record: VmRecord): void {
    const { wanted } = record;
    switch (step) {
      case 'look':
        this.#observe({
          process: this.#hasProcess ? 'alive' : 'gone',
          isReleased: !this.#holds && record.observed.isReleased,
        });
        break;
      case 'launch':
        assert.ok(!this.#hasProcess, 'a second process of one VM');
        [this.#holds, this.#hasProcess] = [true, true];
        this.#observe({ process: 'alive', isReleased: false });
        break;
      case 'noteRunning':
        this.#change({
          process: { pid: 1, startTimeTicks: 1, bootId: 'b' },
          neverRan: false,
          observed: { launch: wanted.launch, end: null, isReleased: false },
        });
        this.#observe({ launchFailed: false });
        break;
      case 'end':
        this.#hasProcess = false;
        this.#observe({ process: 'gone' });
        break;
      case 'noteEnd':
        this.#change({
          process: null,
          observed: { end: 'crashed', isReleased: this.#sight.isReleased },
        });
        break;
      case 'release':
        assert.ok(!this.#hasProcess, 'its process still has it');
        this.#holds = false;
        this.#observe({ isReleased: true, releaseFailed: false });
        break;
      case 'noteReleased': {
        const isLaunchNeeded = wanted.state === 'running' && record.process !== null;
        this.#change({ process: null, observed: isLaunchNeeded ? {} : { isReleased: true } });
        break;
      }
      case 'noteFailure':
        this.#change({
          process: null,
          observed: { launch: wanted.launch, end: 'stopped', isReleased: true },
        });
        this.#observe({ launchFailed: false });
        break;
      case 'forget':
        this.record = null;
    }
  }

  #observe(seen: Partial<RuntimeFacts>): void {
    this.#sight = { ...this.#sight, ...seen };
  }

  #change(changes: Parameters<typeof changed>[1]): void {
    if (this.record !== null) this.record = changed(this.record, changes, 0);
    // A start or a stop is a new wish: what failed before says nothing of it.
    if (changes.wanted !== undefined) this.#observe({ launchFailed: false });
  }
}

suite('what is wanted of a VM', () => {
  test('comes true in the fewest steps where nothing goes wrong', () => {
    const world = new SmallWorld(() => 1);
    world.converge(0);
    world.want('running');
    world.converge(0);
    world.crash();
    world.converge(0);
    world.want('running');
    world.converge(0);
    world.want('stopped');
    world.converge(0);
    world.want('deleted');
    world.converge(0);
    assert.deepEqual(world.taken.join(' ').split(' '), [
      ...['launch', 'noteRunning'],
      ...['end', 'release', 'noteReleased', 'launch', 'noteRunning'],
      ...['release', 'noteEnd'],
      ...['launch', 'noteRunning'],
      ...['end', 'release', 'noteReleased'],
      'forget',
    ]);
    assert.equal(world.record, null);
  });

  test('comes true after any error, any end of the daemon and any end of the guest', () => {
    for (let seed = 1; seed <= 3000; seed += 1) {
      const random = randomOf(seed);
      const world = new SmallWorld(random);
      for (let event = 0; event < 12 && world.record !== null; event += 1) {
        const kind = random();
        if (kind < 0.2) world.want('running');
        else if (kind < 0.4) world.want('stopped');
        else if (kind < 0.45) world.want('deleted');
        else if (kind < 0.65) world.killDaemon();
        else if (kind < 0.8) world.crash();
        world.converge(0.3);
      }
      world.converge(0);
      const { record } = world;
      const told = `seed ${seed}: ${world.taken.join(' ')}`;
      if (record === null) assert.ok(world.holdsNothing, told);
      else {
        assert.equal(record.status, statusOf(record), told);
        assert.equal(world.isRunning, record.status === 'running', told);
        if (record.status !== 'running') assert.ok(world.holdsNothing, told);
        assert.match(record.status, /^(running|stopped|crashed)$/, told);
      }
    }
  });
});
