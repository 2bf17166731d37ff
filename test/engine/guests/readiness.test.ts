// engine: a VM is ready while its health check passes, or when it has booted where there is none; what was asked before a
// change counts no more.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import { Readiness, type ReadinessParts } from '../../../src/engine/guests/readiness.ts';
import type {
  AgentConnection,
  WorkloadHealth,
} from '../../../src/engine/ports/hypervisor-ports.ts';
import { silentLog } from '../silent-log.ts';

const VM = 7;

type Answer = Pick<WorkloadHealth, 'healthy'> | Error;

/** One VM with an agent whose answers are given one by one; the time stands still until it is moved. */
class Guest {
  readonly readiness: Readiness;
  /** What listeners were told, by the state at that moment. */
  readonly told: boolean[] = [];
  connected = true;
  hasAgent = true;
  isRunning = true;
  hasBooted = false;
  check: ReturnType<ReadinessParts['checkOf']> = 'http';
  isResponsive = true;
  silentForMs = 0;
  asked = 0;
  readonly #context: TestContext;
  #answers: ((answer: Answer) => void)[] = [];

  constructor(t: TestContext) {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    this.#context = t;
    const agent = {
      health: () => this.#health(),
    } as Partial<AgentConnection> as AgentConnection;
    Object.defineProperty(agent, 'connected', { get: () => this.connected });
    const parts: ReadinessParts = {
      agentOf: () => (this.isRunning ? (this.hasAgent ? agent : null) : undefined),
      hasBooted: () => this.hasBooted,
      checkOf: () => this.check,
      isResponsive: () => this.isResponsive,
      silentForMs: () => this.silentForMs,
      limits: LIMITS,
      log: silentLog,
    };
    this.readiness = new Readiness(parts);
    this.readiness.subscribe((id) => this.told.push(this.readiness.isReady(id)));
    t.after(() => this.readiness.close());
  }

  get isReady(): boolean {
    return this.readiness.isReady(VM);
  }

  /** Answers the oldest question, and lets the answer be taken. */
  async answer(answer: Answer): Promise<void> {
    const resolve = this.#answers.shift();
    assert.ok(resolve, 'nobody asks');
    resolve(answer);
    await turn();
  }

  async pass(ms: number): Promise<void> {
    this.#context.mock.timers.tick(ms);
    await turn();
  }

  #health(): Promise<WorkloadHealth> {
    this.asked += 1;
    return new Promise((resolve, reject) => {
      this.#answers.push((answer) => {
        if (answer instanceof Error) reject(answer);
        else resolve({ state: 'running', ...answer } as WorkloadHealth);
      });
    });
  }
}

suite('readiness', () => {
  test('is what the health check says, and is reported when it changes', async (t) => {
    const guest = new Guest(t);
    guest.readiness.watch(VM);
    assert.equal(guest.isReady, false);
    await guest.answer({ healthy: null });
    assert.equal(guest.isReady, false);
    await guest.pass(LIMITS.readinessPauseWaitingMs);
    await guest.answer({ healthy: true });
    assert.equal(guest.isReady, true);
    await guest.pass(LIMITS.readinessPauseMaxMs);
    await guest.answer({ healthy: true });
    await guest.pass(LIMITS.readinessPauseMaxMs);
    await guest.answer({ healthy: false });
    assert.equal(guest.isReady, false);
    assert.deepEqual(guest.told, [true, false]);
  });

  test('without any check comes with the boot, and at once where there is no agent', async (t) => {
    const guest = new Guest(t);
    guest.check = 'none';
    guest.readiness.watch(VM);
    await turn();
    assert.equal(guest.isReady, false);
    guest.hasBooted = true;
    guest.readiness.recheck(VM);
    await turn();
    assert.equal(guest.isReady, true);
    Object.assign(guest, { hasBooted: false, hasAgent: false });
    guest.readiness.changed(VM);
    await turn();
    assert.equal(guest.isReady, true);
    assert.equal(guest.asked, 0);
  });

  test('ends with an agent that fails, is not connected, or belongs to a VM that does not answer or run', async (t) => {
    const guest = new Guest(t);
    const broken = [{ connected: false }, { isResponsive: false }, { isRunning: false }];
    guest.readiness.watch(VM);
    await guest.answer({ healthy: true });
    for (const fault of broken) {
      Object.assign(guest, fault);
      guest.readiness.recheck(VM);
      await turn();
      assert.equal(guest.isReady, false, JSON.stringify(fault));
      Object.assign(guest, { connected: true, isResponsive: true, isRunning: true });
      guest.readiness.recheck(VM);
      await turn();
      await guest.answer({ healthy: true });
      assert.equal(guest.isReady, true);
    }
    guest.readiness.recheck(VM);
    await turn();
    await guest.answer(new Error('the connection broke'));
    assert.equal(guest.isReady, false);
  });

  test('of an earlier daemon holds until the first answer', async (t) => {
    const guest = new Guest(t);
    guest.connected = false;
    guest.readiness.watch(VM, true);
    await turn();
    assert.equal(guest.isReady, true);
    guest.connected = true;
    await guest.pass(LIMITS.readinessPauseWaitingMs);
    await guest.answer({ healthy: false });
    assert.equal(guest.isReady, false);
    guest.connected = false;
    guest.readiness.recheck(VM);
    await turn();
    assert.equal(guest.isReady, false);
  });

  test('is not what was asked for before the VM changed', async (t) => {
    const guest = new Guest(t);
    guest.readiness.watch(VM);
    guest.readiness.changed(VM);
    assert.equal(guest.asked, 2);
    await guest.answer({ healthy: true });
    assert.equal(guest.isReady, false);
    await guest.answer({ healthy: true });
    assert.equal(guest.isReady, true);
  });

  test('is asked for while somebody watches, and by one question at a time', async (t) => {
    const guest = new Guest(t);
    const ends = [guest.readiness.watch(VM), guest.readiness.watch(VM)];
    assert.equal(guest.asked, 1);
    await guest.answer({ healthy: true });
    ends[0]?.();
    ends[0]?.();
    await guest.pass(LIMITS.readinessPauseMaxMs);
    assert.equal(guest.asked, 2);
    ends[1]?.();
    await guest.answer({ healthy: true });
    assert.equal(guest.isReady, false);
    await guest.pass(LIMITS.readinessPauseMaxMs * 2);
    assert.equal(guest.asked, 2);
  });

  test('is lost with a VM that has not answered for so long', (t) => {
    const guest = new Guest(t);
    guest.silentForMs = LIMITS.replicaSilentMs - 1;
    assert.equal(guest.readiness.isLost(VM), false);
    guest.silentForMs += 1;
    assert.equal(guest.readiness.isLost(VM), true);
  });
});
