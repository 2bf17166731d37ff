// bench: from POST until a real guest answers HTTP on its own address, against the very same QEMU
// command run by hand, with a tap made by hand.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { type BenchDaemon, startDaemon } from '../lib/daemon.ts';
import { untilAnswered } from '../lib/guest.ts';
import { inRounds } from '../lib/rounds.ts';
import type { Row } from '../lib/row.ts';

interface Launched {
  readonly seconds: number;
  /** The hypervisor's arguments as the kernel has them. */
  readonly argv: readonly string[];
}

export async function benchFirstAnswer(quick: boolean): Promise<Row[]> {
  const daemon = await startDaemon({ VOLANT_LOG_LEVEL: 'warn' });
  try {
    await byDaemon(daemon, 'warm');
    // By hand is always second: it is the command line of the guest before it.
    const rounds = await inRounds(quick ? 3 : 9, async (index) => {
      const { seconds, argv } = await byDaemon(daemon, `boot-${index}`);
      return { boot: { ours: { value: seconds }, bound: { value: await byHand(argv) } } };
    });
    const boundIs = 'the same QEMU command by hand';
    return [rounds.row('boot', 'create to first guest answer', 's', boundIs, { atMost: 1.05 })];
  } finally {
    await daemon.stop();
  }
}

async function byDaemon(daemon: BenchDaemon, name: string): Promise<Launched> {
  const startedMs = performance.now();
  const { status, text } = await daemon.call('POST', '/api/v1/vms', { name, plugin: 'hello' });
  if (status !== 201) throw new Error(`create answered ${status}: ${text}`);
  const vm = JSON.parse(text);
  await untilAnswered(vm.ip_address);
  const seconds = (performance.now() - startedMs) / 1000;
  const argv = readFileSync(`/proc/${vm.pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  await daemon.call('DELETE', `/api/v1/vms/${name}`);
  return { seconds, argv };
}

/**
 * The clock starts when a person would press return: directory and tap are made by then. The tap has a name of its own:
 * what comes from the daemon's is dropped when no guest of the daemon's sent it.
 */
async function byHand(daemonsArgv: readonly string[]): Promise<number> {
  const tap = 'by-hand';
  const ownTap = `id=net0,ifname=${tap},script=no,downscript=no,vnet_hdr=on`;
  const line = daemonsArgv.join(' ');
  const directory = /-pidfile (\S+)\/hypervisor\.pid/.exec(line)?.[1] ?? '';
  const ownSocket = `id=control,path=${directory}/control.sock`;
  const argv = daemonsArgv.map((argument) =>
    argument.replace('id=net0,fd=3', ownTap).replace('id=control,fd=4', ownSocket),
  );
  const address = /ip=([\d.]+):/.exec(line)?.[1] ?? '';
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'ignore' });
  mkdirSync(directory, { recursive: true });
  ip('tuntap', 'add', 'dev', tap, 'mode', 'tap', 'vnet_hdr');
  ip('link', 'set', tap, 'master', 'vbr0', 'up');
  const startedMs = performance.now();
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: 'ignore' });
  const exited = once(child, 'exit');
  try {
    await untilAnswered(address);
    return (performance.now() - startedMs) / 1000;
  } finally {
    child.kill('SIGKILL');
    await exited;
    ip('link', 'delete', tap);
    rmSync(directory, { recursive: true, force: true });
  }
}
