// bench: a real guest, asked over its own address or through its agent.

import { setTimeout as pause } from 'node:timers/promises';
import type { BenchDaemon } from './daemon.ts';

const GUEST_TIMEOUT_MS = 60_000;
const POLL_MS = 10;

/** Resolves when it answers HTTP. Throws when it does not within a minute. */
export async function untilAnswered(address: string, timeoutMs = GUEST_TIMEOUT_MS): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    try {
      const signal = AbortSignal.timeout(500);
      const response = await fetch(`http://${address}:8080/healthz`, { signal });
      await response.text();
      if (response.ok) return;
    } catch {
      // Not up yet: the guest's address does not answer before its agent does.
    }
    await pause(POLL_MS);
  }
  throw new Error(`guest ${address} did not answer`);
}

/** Creates the guest `guest`, and resolves when its agent answers. */
export async function createGuest(daemon: BenchDaemon, memoryMb: number): Promise<void> {
  const body = { name: 'guest', plugin: 'hello', memory_mb: memoryMb };
  await daemon.expect(201, 'POST', '/api/v1/vms?wait=ready', body);
  await untilAgentAnswers(daemon);
}

/** Resolves when the daemon has the agent of `guest`. Throws when it does not within a minute. */
export async function untilAgentAnswers(daemon: BenchDaemon): Promise<void> {
  const deadline = Date.now() + GUEST_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const { status } = await daemon.call('GET', '/api/v1/vms/guest/exec');
    if (status === 200) return;
    await pause(POLL_MS);
  }
  throw new Error('the agent of the guest did not answer');
}
