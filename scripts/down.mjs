// scripts: ends the daemon (npm run down). VMs continue to run, and the next daemon adopts them. With --all everything is
// removed: VMs, kernel objects, records and what setup put into the home directory.

import { existsSync } from 'node:fs';
import { Failure, run, runMain } from './lib/command.mjs';
import { homeDirectory, userCommand } from './lib/paths.mjs';
import { alreadyThere, createProgress } from './lib/progress.mjs';
import { ENTRY } from './lib/service/daemon.mjs';
import { emptyHome } from './lib/service/home.mjs';
import { stopDaemon } from './lib/service/start.mjs';

const USAGE = `Use:
  ${userCommand('down')}
      ends the daemon, VMs run on
  ${userCommand('down', '--all')}
      ends the daemon and removes all VMs and all that was set up`;

async function endDaemon(home, tell) {
  tell('ending it');
  const ended = await stopDaemon(home);
  if (ended === null) return alreadyThere('does not run');
  const text =
    ended.pid === null ? 'ended between two attempts to start' : `ended, pid ${ended.pid}`;
  if (ended.unit === null) return text;
  return `${text}; ${ended.unit} starts it again after a restart of the host (\`${userCommand('uninstall:service')}\` removes that)`;
}

async function tearDown(home, tell) {
  if (!existsSync(home)) return alreadyThere(`${home} does not exist`);
  if (!existsSync(ENTRY)) {
    throw new Failure(
      `The compiled daemon, which removes VMs and networks, is missing: run \`${userCommand('setup')}\`, then run this command again.`,
    );
  }
  tell('removing VMs, networks and records');
  const { VOLANT_LOG_FILE: _, ...environment } = process.env;
  await run(process.execPath, [ENTRY, '--teardown'], {
    env: { ...environment, VOLANT_HOME: home },
  });
  return 'removed VMs, networks and records';
}

function clearHome(home) {
  if (!existsSync(home)) return alreadyThere(`${home} does not exist`);
  const { removed, kept } = emptyHome(home);
  const first = removed.length === 0 ? 'nothing to remove' : `removed ${removed.join(', ')}`;
  return kept.length === 0 ? first : `${first}; kept other files: ${kept.join(', ')}`;
}

await runMain(
  async () => {
    const home = homeDirectory();
    const log = createProgress();
    log.heading('Volant');
    await log.step('daemon', (tell) => endDaemon(home, tell));
    if (!process.argv.includes('--all')) {
      log.line(
        `VMs continue to run. \`${userCommand('up')}\` adopts them; \`${userCommand('down', '--all')}\` removes them.`,
      );
      return;
    }
    await log.step('host', (tell) => tearDown(home, tell));
    await log.step('home', () => clearHome(home));
  },
  { usage: USAGE, allowed: ['--all'] },
);
