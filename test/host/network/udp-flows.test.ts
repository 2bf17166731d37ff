// What senders of datagrams to a host port rely on, with real sockets: each has a flow of its own, and what
// one of them sends, forged or not, harms nobody else.

import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { UdpFlows } from '../../../src/host/network/udp-flows.ts';

async function boundSocket(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind({ address: '127.0.0.1', port: 0 });
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket;
}

/** Flows of a port whose guest answers every datagram with itself. */
async function echoing(t: TestContext): Promise<{ port: Socket; flows: Duplex[] }> {
  const port = await boundSocket(t);
  const flows: Duplex[] = [];
  const served = new UdpFlows(port, (flow) => {
    flows.push(flow);
    flow.on('data', (framed) => flow.write(framed));
    return true;
  });
  t.after(() => served.close());
  return { port, flows };
}

async function ask(client: Socket, port: Socket, text: string): Promise<string> {
  const answer = once(client, 'message');
  client.send(text, port.address().port, '127.0.0.1');
  return String((await answer)[0]);
}

test('each sender gets its own answers', async (t) => {
  const { port, flows } = await echoing(t);
  const [one, two] = [await boundSocket(t), await boundSocket(t)];
  assert.deepEqual(await Promise.all([ask(one, port, 'a'), ask(two, port, 'b')]), ['a', 'b']);
  assert.equal(await ask(one, port, 'c'), 'c');
  assert.equal(flows.length, 2);
});

test('a question that was answered is forgotten early, a conversation is not', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { port, flows } = await echoing(t);
  const [once, often] = [await boundSocket(t), await boundSocket(t)];
  await ask(once, port, 'a');
  await ask(often, port, 'a');
  await ask(often, port, 'b');
  t.mock.timers.tick(LIMITS.udpFlowAnsweredIdleMs);
  assert.deepEqual(
    flows.map(({ destroyed }) => destroyed),
    [true, false],
  );
  t.mock.timers.tick(LIMITS.udpFlowIdleMs);
  assert.equal(flows[1]?.destroyed, true);
});

test('a new sender takes the place of the one that is silent for longest', async (t) => {
  const { port, flows } = await echoing(t);
  const from = (sender: number) =>
    port.emit('message', Buffer.from('x'), { address: '127.0.0.2', family: 'IPv4', port: sender });
  for (let sender = 1; sender <= LIMITS.udpFlowsMax; sender += 1) from(sender);
  from(1);
  from(LIMITS.udpFlowsMax + 1);
  assert.equal(flows.length, LIMITS.udpFlowsMax + 1);
  assert.deepEqual(
    flows.slice(0, 3).map(({ destroyed }) => destroyed),
    [false, true, false],
  );
});

test('a datagram whose sender cannot be answered is dropped, and others are served', async (t) => {
  const { port, flows } = await echoing(t);
  // Node's sockets refuse to send from port 0; a raw socket does not.
  const forged: RemoteInfo = { address: '127.0.0.1', family: 'IPv4', port: 0, size: 1 };
  port.emit('message', Buffer.from('x'), forged);
  assert.equal(flows.length, 0);
  port.emit('message', Buffer.from('x'), { ...forged, port: 70_000 });
  assert.equal(await ask(await boundSocket(t), port, 'a'), 'a');
});
