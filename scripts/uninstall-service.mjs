// scripts: removes the service (npm run uninstall:service, volantd uninstall-service): ends the daemon and removes its
// unit. VMs, records and settings stay.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, runMain } from './lib/command.mjs';
import { homeDirectory, userCommand } from './lib/paths.mjs';
import { alreadyThere, createProgress } from './lib/progress.mjs';
import { findDaemon, untilEnded } from './lib/service/daemon.mjs';
import {
  ENVIRONMENT_FILE,
  parseEnvironment,
  removeUnit,
  SERVICE_HOME,
  SERVICE_UNIT,
  systemctl,
  UNIT_DIRECTORIES,
} from './lib/service/systemd.mjs';

function serviceHome() {
  const text = existsSync(ENVIRONMENT_FILE) ? readFileSync(ENVIRONMENT_FILE, 'utf8') : '';
  const settings = parseEnvironment(text);
  return homeDirectory({ HOME: process.env.HOME, VOLANT_HOME: SERVICE_HOME, ...settings });
}

async function removeService(home, tell) {
  if (!existsSync(join(UNIT_DIRECTORIES.installed, SERVICE_UNIT))) {
    return alreadyThere('is not installed');
  }
  tell('ending the daemon');
  const daemon = findDaemon(home);
  await systemctl('disable', SERVICE_UNIT);
  await removeUnit(UNIT_DIRECTORIES.installed, SERVICE_UNIT);
  if (daemon?.supervisor.unit === SERVICE_UNIT) await untilEnded(home, daemon.pid);
  return 'is gone';
}

await runMain(
  async () => {
    if (process.getuid() !== 0) throw new Failure('Only root can remove a service.');
    const home = serviceHome();
    const log = createProgress();
    log.heading('Volant, as a service');
    await log.step('service', (tell) => removeService(home, tell));
    log.line(`VMs continue to run, and ${ENVIRONMENT_FILE} and ${home} are not changed.`);
    log.line(
      `To remove VMs and records: VOLANT_HOME=${home} ${userCommand('down', '--all')}. Then: rm -r /etc/volant.`,
    );
  },
  { usage: `Use: ${userCommand('uninstall:service')}. It takes no arguments.`, allowed: [] },
);
