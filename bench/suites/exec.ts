// bench: programs that are run in one real guest, started and waited for by one request each, against the same requests to
// its agent by hand.

import { agentByHand } from '../lib/agent-by-hand.ts';
import { type BenchDaemon, inParallel, startDaemon } from '../lib/daemon.ts';
import { createGuest, untilAgentAnswers } from '../lib/guest.ts';
import { inRounds, inTurn } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

const PROGRAM = { argv: ['/bin/true'] };
const WIDTH = 8;
/** More of them a second are not asked for. A guest without KVM does not reach it by hand either. */
const WANTED = 500;

export async function benchExecs(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon({ VOLANT_LOG_LEVEL: 'warn' });
  const count = quick ? 100 : 500;
  try {
    await createGuest(daemon, 128);
    await byDaemon(daemon, WIDTH);
    const rounds = await inRounds(quick ? 3 : 7, async (index) => {
      const [ours, bound] = await inTurn(
        index,
        () => byDaemon(daemon, count),
        () => byHand(daemon, count),
      );
      return {
        alone: { ours: { value: ours.alone }, bound: { value: bound.alone } },
        many: { ours: { value: ours.many }, bound: { value: Math.min(bound.many, WANTED) } },
      };
    });
    const boundIs = "the same requests on its agent's channel by hand";
    const what = 'POST exec?wait=exit of one real guest';
    return [
      rounds.row(
        'many',
        `${what}, ${WIDTH} at a time`,
        'execs/s',
        `${boundIs}, ${WANTED} at most`,
        {
          atLeast: 0.8,
        },
      ),
      rounds.row('alone', `${what}, one after the other`, 'execs/s', boundIs, { atLeast: 0.7 }),
    ];
  } finally {
    await daemon.stop();
  }
}

async function byDaemon(daemon: BenchDaemon, count: number) {
  return measure(count, async () => {
    const path = '/api/v1/vms/guest/exec?wait=exit';
    const { exit_code: code } = JSON.parse(await daemon.expect(200, 'POST', path, PROGRAM));
    if (code !== 0) throw new Error(`the program ended with ${code}`);
  });
}

/** The daemon ends meanwhile; its guest goes on. */
async function byHand(daemon: BenchDaemon, count: number) {
  await daemon.kill();
  const agent = await agentByHand(daemon.home);
  try {
    return await measure(count, () => agent.exec(PROGRAM.argv));
  } finally {
    agent.close();
    await daemon.startAgain();
    await untilAgentAnswers(daemon);
  }
}

/** How many a second there are, several at a time and one after the other. */
async function measure(count: number, exec: () => Promise<void>) {
  const rate = async (width: number, times: number) => {
    const startedMs = performance.now();
    await inParallel(times, width, exec);
    return (times * 1000) / (performance.now() - startedMs);
  };
  return { many: await rate(WIDTH, count), alone: await rate(1, Math.ceil(count / 4)) };
}
