// config: settings of registries of container images: credentials, mirrors, and registries without TLS.

import { resolve } from 'node:path';
import { expandHome, type settingsReader } from '../lib/settings.ts';

type Reader = ReturnType<typeof settingsReader>;

export interface RegistrySettings {
  /** A file as `docker login` and `skopeo login` write it; null: all registries are asked without credentials. */
  readonly authFile: string | null;
  /** Places that are asked before a registry, in this order. */
  readonly mirrors: ReadonlyMap<string, readonly string[]>;
  /** Hosts that are asked without TLS, or whose certificate is not checked. */
  readonly insecure: readonly string[];
}

export const NO_REGISTRIES: RegistrySettings = { authFile: null, mirrors: new Map(), insecure: [] };

const HOST = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/;
const PLACE = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?(\/[a-z0-9._-]+)*$/;

/** Reads these settings. The file itself is read with each pull, because credentials are renewed. */
export function readRegistries(read: Reader, problems: string[]): RegistrySettings {
  const authFile = read.text('VOLANT_REGISTRY_AUTH_FILE', '');
  const mirrors = new Map<string, readonly string[]>();
  for (const entry of read.list('VOLANT_REGISTRY_MIRRORS', ',')) {
    const [host = '', place = ''] = entry.trim().toLowerCase().split('=');
    if (HOST.test(host) && PLACE.test(place))
      mirrors.set(host, [...(mirrors.get(host) ?? []), place]);
    else
      problems.push(
        `VOLANT_REGISTRY_MIRRORS: "${entry}" is not registry=mirror, such as docker.io=mirror.lan:5000`,
      );
  }
  const insecure = read
    .list('VOLANT_REGISTRY_INSECURE', ',')
    .map((host) => host.trim().toLowerCase());
  for (const host of insecure) {
    if (!HOST.test(host))
      problems.push(`VOLANT_REGISTRY_INSECURE: "${host}" is not a host, such as localhost:5000`);
  }
  return { authFile: authFile === '' ? null : resolve(expandHome(authFile)), mirrors, insecure };
}
