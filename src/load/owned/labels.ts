// load, owned: how everything that a run makes is known as its own: by its name, and by a mark in its metadata.

import { randomInt } from 'node:crypto';

/** The member of a config's metadata with the mark. */
const METADATA_KEY = 'volant_load';

/** Of a label: short enough for the longest name, and without "-", so no label begins with another one and "-". */
export const LABEL_PATTERN = /^[a-z0-9]{1,20}$/;
const LABEL_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const LABEL_LENGTH = 8;

/** In the name of everything that any run makes. */
export const NAME_PREFIX = 'load-';

/** The process that started a run, known so well that another process with its pid is not taken for it. */
export interface RunOwner {
  readonly label: string;
  readonly host: string;
  /** Differs after each boot of the host. */
  readonly boot_id: string;
  /** In another namespace a pid means another process. */
  readonly pid_namespace: string;
  readonly pid: number;
  /** Start of the process in clock ticks since the boot. */
  readonly started_ticks: string;
}

export function newLabel(): string {
  const characters = Array.from({ length: LABEL_LENGTH }, () => LABEL_CHARACTERS[randomInt(36)]);
  return characters.join('');
}

export function namePrefixOf(label: string): string {
  return `${NAME_PREFIX}${label}-`;
}

export function withMark(metadata: unknown, owner: RunOwner): Record<string, unknown> {
  const own = typeof metadata === 'object' && metadata !== null ? metadata : {};
  return { ...own, [METADATA_KEY]: owner };
}

/** null: the config has no mark, so no run made what has it. */
export function markOf(config: { readonly metadata?: unknown } | undefined): RunOwner | null {
  const mark = (config?.metadata as Readonly<Record<string, unknown>> | undefined)?.[METADATA_KEY];
  if (typeof mark !== 'object' || mark === null) return null;
  return typeof (mark as RunOwner).label === 'string' ? (mark as RunOwner) : null;
}
