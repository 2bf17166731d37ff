// lib: parses settings of the environment into values, and collects all problems. Which settings exist is defined in
// config.ts.

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseIpv4 } from './net/ipv4.ts';
import { isLocalhost } from './net/localhost.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** The address at which guests reach the API. */
export interface AdvertisedAddress extends HostAndPort {
  /** false: the daemon listens on a loopback address or a unix socket only, where no guest can reach it. */
  readonly isServed: boolean;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/**
 * Returns readers. Each reads one variable, or uses the fallback when it is empty, and adds what is wrong to
 * `problems`.
 */
export function settingsReader(environment: Environment, problems: string[]) {
  const text = (name: string, fallback: string): string => environment[name]?.trim() || fallback;
  const list = (name: string, separator: string): string[] =>
    text(name, '')
      .split(separator)
      .map((item) => item.trim())
      .filter((item) => item !== '');
  return {
    text,
    path: (name: string, fallback: string): string => resolve(expandHome(text(name, fallback))),
    list,
    /** In lower case, without a final dot. */
    hostNames: (name: string): string[] =>
      list(name, ',').map((given) => {
        const host = given.toLowerCase().replace(/\.$/, '');
        if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host)) {
          problems.push(`${name}: ${given} is not a host name (without a scheme or a port)`);
        }
        return host;
      }),
    /** The list may contain "*". */
    origins: (name: string): string[] =>
      list(name, ',').map((origin) => {
        if (origin === 'null') {
          problems.push(`${name}: null cannot be named, the page of any guest has it`);
        }
        return origin;
      }),
    choice: <const T extends string>(name: string, choices: readonly T[], fallback: T): T => {
      const value = text(name, fallback);
      const chosen = choices.find((choice) => choice === value);
      if (chosen === undefined) problems.push(`${name}: use one of ${choices.join(', ')}`);
      return chosen ?? fallback;
    },
    number: (name: string, fallback: number): number => {
      const value = text(name, String(fallback));
      if (!/^\d{1,12}$/.test(value)) problems.push(`${name}: use a number of 0 or more`);
      return Number(value);
    },
    /** 0 or more, with up to three decimals. */
    factor: (name: string, fallback: number): number => {
      const value = text(name, String(fallback));
      if (!/^\d{1,6}(\.\d{1,3})?$/.test(value)) {
        problems.push(`${name}: use a number of 0 or more, such as 1.5`);
      }
      return Number(value);
    },
    address: (name: string, fallback: string): string => {
      const value = text(name, fallback);
      if (parseIpv4(value) === null) problems.push(`${name}: ${value} is not an IPv4 address`);
      return value;
    },
    listen: (name: string, fallback: string): ListenAddress => {
      const value = text(name, fallback);
      if (value.startsWith('unix:')) return { kind: 'unix', path: resolve(value.slice(5)) };
      const parsed = splitHostPort(value);
      if (parsed !== null) return { kind: 'tcp', port: parsed.port, host: addressOf(parsed.host) };
      problems.push(`${name}: use host:port or unix:/path, not ${value}`);
      return { kind: 'tcp', host: '127.0.0.1', port: 7777 };
    },
    advertise: (name: string, listen: ListenAddress, hostIp: string): AdvertisedAddress => {
      const parsed = splitHostPort(text(name, ''));
      if (parsed !== null) return { ...parsed, isServed: true };
      if (environment[name]) problems.push(`${name}: use host:port`);
      if (listen.kind === 'unix') return { host: hostIp, port: 7777, isServed: false };
      const { host, port } = listen;
      if (/^(0\.0\.0\.0|::)$/.test(host)) return { host: hostIp, port, isServed: true };
      // Guests get the host's address anyway: the loopback is their own.
      if (/^(127\.|::)/.test(host)) return { host: hostIp, port, isServed: false };
      return { host, port, isServed: true };
    },
  };
}

/** A name server has no say in where localhost is. */
function addressOf(host: string): string {
  return isLocalhost(host) ? '127.0.0.1' : host;
}

function splitHostPort(value: string): HostAndPort | null {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})$/.exec(value);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || !(port <= 65535)) return null;
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

/** Replaces a leading `~` by the home directory of the daemon's user. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}
