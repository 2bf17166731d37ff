// scripts: ends the daemon (npm run down); VMs run on and the next daemon adopts them. With
// --all everything goes: VMs, kernel objects, state and what the set-up put into the home directory.

import { existsSync } from 'node:fs';
import { Failure, run, runMain } from './lib/command.mjs';
import { ENTRY } from './lib/daemon.mjs';
import { emptyHome } from './lib/home.mjs';
import { homeDirectory, userCommand } from './lib/paths.mjs';
import { alreadyThere, createProgress } from './lib/progress.mjs';
import { stopDaemon } from './lib/start.mjs';

const USAGE = `Use:
  ${userCommand('down')}
      ends the daemon, VMs run on
  ${userCommand('down', '--all')}
      ends the daemon and removes all VMs and all that was set up`;

async function endDaemon(home, tell) {
  tell('ending it');
  const ended = await stopDaemon(home);
  if (ended === null) return alreadyThere('does not run');
  const text = ended.pid === null ? 'ended between two tries to start' : `ended, pid ${ended.pid}`;
  if (ended.unit === null) return text;
  return `${text}; ${ended.unit} starts it again with the host (\`${userCommand('uninstall:service')}\` removes that)`;
}

async function tearDown(home, tell) {
  if (!existsSync(home)) return alreadyThere(`${home} does not exist`);
  if (!existsSync(ENTRY)) {
    throw new Failure(
      `The compiled daemon is missing, and it is needed to remove VMs and networks: run \`${userCommand('setup')}\`, then this again.`,
    );
  }
  tell('removing VMs, networks and state');
  const { VOLANT_LOG_FILE: _, ...environment } = process.env;
  await run(process.execPath, [ENTRY, '--teardown'], {
    env: { ...environment, VOLANT_HOME: home },
  });
  return 'VMs, networks and state are gone';
}

function clearHome(home) {
  if (!existsSync(home)) return alreadyThere(`${home} does not exist`);
  const { removed, kept } = emptyHome(home);
  const first = removed.length === 0 ? 'nothing of ours' : `removed ${removed.join(', ')}`;
  return kept.length === 0 ? first : `${first}; kept your own ${kept.join(', ')}`;
}

await runMain(async () => {
  const args = process.argv.slice(2);
  if (args.some((argument) => argument !== '--all')) throw new Failure(USAGE);
  const home = homeDirectory();
  const log = createProgress();
  log.heading('Volant');
  await log.step('daemon', (tell) => endDaemon(home, tell));
  if (!args.includes('--all')) {
    log.line(
      `VMs run on. \`${userCommand('up')}\` adopts them; \`${userCommand('down', '--all')}\` removes them.`,
    );
    return;
  }
  await log.step('host', (tell) => tearDown(home, tell));
  await log.step('home', () => clearHome(home));
});
