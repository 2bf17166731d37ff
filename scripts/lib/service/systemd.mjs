// scripts: systemd units for the daemon: their text, and the few systemctl commands that are needed.

import { existsSync, mkdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, findCommand, run } from '../command.mjs';
import { ENTRY } from './daemon.mjs';
import { FINAL_STATUSES, PAUSE_MAX_MS, PAUSE_MIN_MS } from './restarts.mjs';

/**
 * Directories of units that an administrator installs, and of units that last until the host's next start
 * (systemd.unit(5)).
 */
export const UNIT_DIRECTORIES = {
  installed: '/etc/systemd/system',
  transient: '/run/systemd/system',
};

/** The installed service, its home directory and its settings file. */
export const SERVICE_UNIT = 'volantd.service';
export const SERVICE_HOME = '/var/lib/volant';
export const ENVIRONMENT_FILE = '/etc/volant/volantd.env';

/** The daemon needs at most 52 s for its own end: LIMITS.endTimeoutMs. */
const STOP_TIMEOUT_SECONDS = 60;

/** True if systemd runs (sd_booted(3)) in the network namespace of this process. */
export function systemdRuns() {
  if (!existsSync('/run/systemd/system')) return false;
  return readlinkSync('/proc/1/ns/net') === readlinkSync('/proc/self/ns/net');
}

/**
 * The text of a unit. `home` is VOLANT_HOME unless the environment file sets it. The daemon's output goes to `outputFile`,
 * or to the journal.
 */
export function unitText({ unit, description, home, environmentFile, outputFile }) {
  const command = [process.execPath, ENTRY, '--supervisor', 'systemd', '--unit', unit];
  const restartOnly = FINAL_STATUSES.filter((status) => status !== 0).join(' ');
  return `# Written by Volant. Changes are lost: use \`systemctl edit ${unit}\` instead.
[Unit]
Description=${description}
Wants=network-online.target
After=network-online.target nftables.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=${command.map((word) => quote(word).replaceAll('$', '$$$$')).join(' ')}
Environment=${quote(`VOLANT_HOME=${home}`)}
EnvironmentFile=-${escapeSpecifiers(environmentFile)}
WorkingDirectory=/
${outputFile === undefined ? '' : `StandardOutput=append:${escapeSpecifiers(outputFile)}\n`}
# systemd restarts it after it died. Status ${restartOnly}: a person must change something first.
Restart=on-failure
RestartPreventExitStatus=${restartOnly}
RestartSec=${PAUSE_MIN_MS}ms
# Since systemd 254 the pause grows; older ones ignore these two.
RestartSteps=6
RestartMaxDelaySec=${PAUSE_MAX_MS / 1000}s

# VMs outlive the daemon: nothing but its own process is ended, and one VM that ran out of memory is no
# reason to end the others.
KillMode=process
TimeoutStopSec=${STOP_TIMEOUT_SECONDS}s
OOMPolicy=continue
OOMScoreAdjust=-900
LimitNOFILE=1048576
LimitMEMLOCK=infinity
TasksMax=infinity

# Root is needed for taps, bridges, nftables and devices. What is not needed is closed. Hypervisors inherit
# all of it, so nothing stands here that would take devices or files from them.
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
SystemCallArchitectures=native
ProtectSystem=full
CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_TIME CAP_WAKE_ALARM CAP_SYSLOG CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_AUDIT_CONTROL CAP_AUDIT_READ

[Install]
WantedBy=multi-user.target
`;
}

/** Quotes one word of a unit file (systemd.syntax(7)). */
function quote(word) {
  const text = escapeSpecifiers(word);
  return /^[\w@%+=:,./$-]+$/.test(text) ? text : `"${text.replaceAll(/[\\"]/g, '\\$&')}"`;
}

const escapeSpecifiers = (text) => text.replaceAll('%', '%%');

/** Settings in the format of an environment file (systemd.exec(5)): one on each line, in double quotes. */
export function environmentText(settings) {
  return Object.entries(settings)
    .map(([name, value]) => `${name}="${value.replaceAll(/[\\"`$]/g, '\\$&')}"\n`)
    .join('');
}

/** The settings in the text of an environment file. */
export function parseEnvironment(text) {
  const settings = {};
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match === null) continue;
    const quoted = /^"(.*)"$|^'(.*)'$/.exec(match[2]);
    settings[match[1]] = quoted?.[1]?.replaceAll(/\\(.)/g, '$1') ?? quoted?.[2] ?? match[2];
  }
  return settings;
}

export function systemctl(...args) {
  const file = findCommand('systemctl');
  if (file === null) throw new Failure('systemctl is missing, so no unit can be used here.');
  return run(file, args);
}

export function writeUnit(directory, unit, text) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, unit), text, { mode: 0o644 });
}

/** Ends a unit's daemon and removes the unit. */
export async function removeUnit(directory, unit) {
  await systemctl('stop', unit);
  rmSync(join(directory, unit), { force: true });
  await systemctl('daemon-reload');
}
