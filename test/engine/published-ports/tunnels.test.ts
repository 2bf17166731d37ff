// What clients of host ports rely on whose guest is reached through its agent: those who only once asked
// something by UDP do not keep others out, and a connection is never given up for another.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import type { AgentConnection } from '../../../src/engine/ports/hypervisor-ports.ts';
import { Tunnels } from '../../../src/engine/published-ports/tunnels.ts';
import { silentLog } from '../fakes.ts';

const TARGET = { protocol: 'udp', port: 53 } as const;
const VM = 1;

/** An agent with as many connections as it may have, and no more. */
function fakeAgent() {
  const streams = new Set<PassThrough>();
  const connect = async () => {
    for (const stream of streams) if (stream.destroyed) streams.delete(stream);
    if (streams.size >= LIMITS.agentTunnelsMax) throw new Error('too many');
    const stream = new PassThrough();
    streams.add(stream);
    return stream;
  };
  return { agent: { connect } as Partial<AgentConnection> as AgentConnection, streams };
}

/** So many connections, all under way. */
function filled(idleMs: (index: number) => (() => number) | null) {
  const tunnels = new Tunnels(LIMITS.agentTunnelsMax, silentLog);
  const { agent, streams } = fakeAgent();
  const connections = Array.from({ length: LIMITS.agentTunnelsMax }, (_, index) => {
    const connection = new PassThrough();
    assert.ok(tunnels.begin(VM, agent, TARGET, connection, idleMs(index)));
    return connection;
  });
  const begin = (connection: PassThrough) => tunnels.begin(VM, agent, TARGET, connection, null);
  return { tunnels, agent, streams, connections, begin };
}

suite('connections through an agent', () => {
  test('the flow that is silent for longest makes room for what is new', async () => {
    const { connections, begin, streams } = filled((index) => () => (index === 3 ? 900 : index));
    await new Promise(setImmediate);
    const fresh = new PassThrough();
    assert.equal(begin(fresh), true);
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
    assert.deepEqual(
      connections.flatMap(({ destroyed }, index) => (destroyed ? [index] : [])),
      [3],
    );
    assert.equal(fresh.destroyed, false, 'the agent had room for it');
    assert.equal(streams.size, LIMITS.agentTunnelsMax);
  });

  test('what ends by itself is never given up', async () => {
    const { begin, tunnels, connections } = filled(() => null);
    assert.equal(begin(new PassThrough()), false);
    assert.equal(tunnels.count(VM), LIMITS.agentTunnelsMax);
    await new Promise(setImmediate);
    connections[0]?.destroy();
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
    assert.equal(begin(new PassThrough()), true);
  });
});

suite('connections that no guest takes', () => {
  function told() {
    const lines: { readonly bindings: object; readonly message: string }[] = [];
    const warn = (bindings: object, message: string) => void lines.push({ bindings, message });
    return { lines, log: { ...silentLog, warn } };
  }

  test('are counted, and logged once for each VM and reason', async () => {
    const { lines, log } = told();
    const tunnels = new Tunnels(1, log);
    const { agent } = fakeAgent();
    const begin = (one: AgentConnection) => {
      const connection = new PassThrough();
      return tunnels.begin(VM, one, TARGET, connection, null);
    };
    assert.ok(begin(agent));
    for (let count = 0; count < 3; count += 1) assert.equal(begin(agent), false);
    assert.deepEqual(tunnels.losses, { full: 3, unanswered: 0 });
    assert.equal(lines.length, 1);
    assert.match(lines[0]?.message ?? '', /VOLANT_GUEST_CONNECTIONS_MAX/);
    const deaf = { connect: () => Promise.reject(new Error('the agent answered 502')) };
    for (let count = 0; count < 2; count += 1) {
      const connection = new PassThrough();
      const other = deaf as Partial<AgentConnection> as AgentConnection;
      assert.ok(tunnels.begin(VM + 1 + count, other, TARGET, connection, null));
    }
    tunnels.refused(VM + 1, TARGET);
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
    assert.deepEqual(tunnels.losses, { full: 3, unanswered: 3 });
    assert.equal(lines.length, 3);
    tunnels.hasEnded(VM);
    assert.equal(begin(agent), false);
    assert.equal(lines.length, 4, 'the first loss of the next launch is logged');
  });

  test('are none where their client has left', async () => {
    const { lines, log } = told();
    const tunnels = new Tunnels(1, log);
    const connect = (_: unknown, signal: AbortSignal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    const connection = new PassThrough();
    const agent = { connect } as Partial<AgentConnection> as AgentConnection;
    assert.ok(tunnels.begin(VM, agent, TARGET, connection, null));
    await new Promise(setImmediate);
    connection.destroy();
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
    assert.deepEqual([tunnels.losses, lines.length], [{ full: 0, unanswered: 0 }, 0]);
  });
});
