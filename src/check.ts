// check: checks the settings, for `volantd --check` and for the warnings at the start of the daemon. Settings are
// read in config.ts.

import { type Config, ConfigError, loadConfig } from './config.ts';
import type { Environment } from './lib/settings.ts';

/** The problems and warnings of an environment, each as a sentence that names the setting. */
export interface SettingsCheck {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** Every setting that the daemon reads, sorted. */
  readonly settings: readonly string[];
}

/** Checks the settings only, not the host. */
export function checkSettings(environment: Environment): SettingsCheck {
  const asked = new Set<string>();
  const watched = new Proxy(environment, {
    get: (target, name) => {
      if (typeof name !== 'string') return undefined;
      asked.add(name);
      return target[name];
    },
  });
  const result = load(watched);
  const settings = [...asked].filter((name) => name.startsWith('VOLANT_')).sort();
  return { ...result, settings };
}

function load(environment: Environment): Omit<SettingsCheck, 'settings'> {
  try {
    return { problems: [], warnings: warningsOf(loadConfig(environment)) };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems, warnings: [] };
    throw error;
  }
}

/** Warns of settings that are allowed but risky. */
export function warningsOf(config: Config): readonly string[] {
  return isOpenToAll(config)
    ? [
        `VOLANT_API_LISTEN: the API is open to everybody who can reach ${listenText(config)}, and who reaches it can do what root can: set VOLANT_API_KEY or VOLANT_API_KEYS_FILE, restrict clients with VOLANT_API_ALLOW_CIDR, or listen on 127.0.0.1`,
      ]
    : [];
}

function isOpenToAll({ listen, apiKey, keysFileNamed, allowedNetworks }: Config): boolean {
  if (listen.kind === 'unix' || apiKey !== null || keysFileNamed) return false;
  if (allowedNetworks.length > 0) return false;
  return !/^(localhost$|127\.|::1$)/.test(listen.host);
}

function listenText({ listen }: Config): string {
  if (listen.kind === 'unix') return listen.path;
  return listen.host.includes(':')
    ? `[${listen.host}]:${listen.port}`
    : `${listen.host}:${listen.port}`;
}
