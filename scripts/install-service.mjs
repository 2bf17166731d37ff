// scripts: installs the daemon as a service of this machine (npm run install:service, volantd install-service): sets up
// what is missing, then writes, enables and starts a systemd unit. It can be run repeatedly.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, runMain } from './lib/command.mjs';
import { homeDirectory, userCommand } from './lib/paths.mjs';
import { alreadyThere, createProgress } from './lib/progress.mjs';
import { answers, findDaemon } from './lib/service/daemon.mjs';
import { buildProblems, requireNone, runProblems } from './lib/service/preflight.mjs';
import { checkSettings, differences } from './lib/service/settings.mjs';
import { problemOfUnit } from './lib/service/start.mjs';
import {
  ENVIRONMENT_FILE,
  environmentText,
  parseEnvironment,
  SERVICE_HOME,
  SERVICE_UNIT,
  systemctl,
  systemdRuns,
  UNIT_DIRECTORIES,
  unitText,
  writeUnit,
} from './lib/service/systemd.mjs';
import { setup } from './setup.mjs';

const START_TIMEOUT_MS = 30_000;
const LOOK_EVERY_MS = 100;

const isSetting = ([name]) => name.startsWith('VOLANT_');

/** The settings of the service: those of its file, or those of this shell if there is no file yet. */
function readSettings() {
  const given = Object.fromEntries(Object.entries(process.env).filter(isSetting));
  if (!existsSync(ENVIRONMENT_FILE)) return given;
  const settings = parseEnvironment(readFileSync(ENVIRONMENT_FILE, 'utf8'));
  const found = differences(Object.keys(given), settings, given);
  if (found.length === 0) return settings;
  throw new Failure(
    `The settings of this shell differ from those of the service in ${ENVIRONMENT_FILE}:\n${found.map((text) => `  - ${text}`).join('\n')}\nEdit that file, and run this command without these settings.`,
  );
}

async function check(home, settings) {
  const problems = [...buildProblems(), ...(await runProblems(home, settings))];
  if (!systemdRuns()) {
    problems.push(
      `systemd does not run here, or runs in another network namespace: use \`${userCommand('up')}\`, or let another supervisor run the daemon.`,
    );
  }
  const daemon = findDaemon(home);
  if (daemon !== null && daemon.supervisor.unit !== SERVICE_UNIT) {
    problems.push(
      `A daemon that is not a service uses ${home} (pid ${daemon.pid}): end it first. If \`${userCommand('up')}\` started it, run \`VOLANT_HOME=${home} ${userCommand('down')}\`.`,
    );
  }
  requireNone(problems);
  return alreadyThere('systemd runs');
}

/** Checks the settings with the compiled daemon, so it runs after the set-up. */
async function checkAgain(settings, log) {
  const { problems, warnings } = await checkSettings(settings);
  requireNone(problems.map((problem) => `${problem}.`));
  for (const warning of warnings) log.line(`  ! ${warning}.`);
}

function writeSettings(settings) {
  if (existsSync(ENVIRONMENT_FILE)) return alreadyThere(ENVIRONMENT_FILE);
  mkdirSync(dirname(ENVIRONMENT_FILE), { recursive: true });
  const head = `# Settings of the service ${SERVICE_UNIT}; after a change: systemctl restart ${SERVICE_UNIT}\n`;
  writeFileSync(ENVIRONMENT_FILE, head + environmentText(settings), { mode: 0o600 });
  return `wrote ${ENVIRONMENT_FILE}`;
}

async function startService(tell) {
  const text = unitText({
    unit: SERVICE_UNIT,
    description: 'Volant, microVMs behind a REST API',
    home: SERVICE_HOME,
    environmentFile: ENVIRONMENT_FILE,
  });
  writeUnit(UNIT_DIRECTORIES.installed, SERVICE_UNIT, text);
  tell('starting');
  await systemctl('daemon-reload');
  await systemctl('enable', SERVICE_UNIT);
  await systemctl('restart', SERVICE_UNIT);
}

async function untilItServes(home) {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const daemon = (await answers()) ? findDaemon(home) : null;
    if (daemon?.supervisor.unit === SERVICE_UNIT) return daemon.pid;
    const problem = await problemOfUnit(SERVICE_UNIT);
    if (problem !== null || performance.now() > deadlineMs) {
      throw new Failure(
        `The service does not answer${problem === null ? '' : ` (${problem})`}: \`journalctl --unit ${SERVICE_UNIT}\` says why.`,
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

await runMain(
  async () => {
    const settings = readSettings();
    const home = homeDirectory({ HOME: process.env.HOME, VOLANT_HOME: SERVICE_HOME, ...settings });
    const log = createProgress();
    log.heading('Volant, as a service');
    await log.step('host', () => check(home, settings));
    await setup({ log, home });
    await checkAgain({ ...settings, VOLANT_HOME: home }, log);
    // Requests to the API below go to the daemon with these settings.
    Object.assign(process.env, settings);
    await log.step('settings', () => writeSettings({ ...settings, VOLANT_HOME: home }));
    await log.step('service', async (tell) => {
      await startService(tell);
      return `${SERVICE_UNIT} runs, pid ${await untilItServes(home)}`;
    });
    log.line();
    log.line(`Settings: ${ENVIRONMENT_FILE}. Log: journalctl --unit ${SERVICE_UNIT}.`);
    log.line(`To remove the service: ${userCommand('uninstall:service')}.`);
  },
  { usage: `Use: ${userCommand('install:service')}. It takes no arguments.`, allowed: [] },
);
