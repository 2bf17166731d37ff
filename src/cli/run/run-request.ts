// cli, run: what `volar run` asks the daemon for: the VM, and the program in it, made of what the image says and what was given.
// Pure.

import { posix } from 'node:path';
import type {
  CreateExec,
  CreateVmRequest,
  Image,
  ManifestInput,
  VmConfigInput,
} from '../../client/types.ts';
import { programOf } from '../../lib/formats/image-program.ts';
import { UsageError } from '../exit.ts';

/** A run as it was asked for. Absent members are those of the image. */
export interface RunOrder {
  /** Of the VM. */
  readonly name: string;
  readonly image: string;
  /** What follows the image on the command line: in place of the image's command. */
  readonly words: readonly string[];
  /** In place of the image's entrypoint and command. An empty text: no entrypoint. */
  readonly entrypoint?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly workdir?: string | undefined;
  readonly user?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly cpus?: number | undefined;
  readonly memoryMb?: number | undefined;
  /** Ports and network. */
  readonly config: VmConfigInput;
  readonly volumes: readonly Volume[];
  readonly timeoutMs?: number | undefined;
  /** The VM is deleted then, also if this program is gone. */
  readonly deadlineSeconds?: number | undefined;
}

/** A file or directory of this machine that is copied into the guest. */
export interface Volume {
  readonly source: string;
  /** Absolute, in the guest. */
  readonly target: string;
  /** It ends with "/": a directory, also for a file. */
  readonly isDirectory: boolean;
}

/** Member of the VM's metadata that says which run it is of. */
const RUN_OF = 'volar.run';

/** What is lost when a guest boots again: these directories are in its memory, or of its kernel. */
const LOST_AT_BOOT = ['/tmp', '/run', '/dev', '/proc', '/sys'];

/** A VM that runs no program of its own; `run` is its mark. */
export function vmOfNone(order: RunOrder, run: string): CreateVmRequest {
  return vmRequest(order, { type: 'none' }, run);
}

/** A VM whose workload is the program. It is not started again. */
export function vmOfProgram(order: RunOrder, run: string): CreateVmRequest {
  return vmRequest(order, workloadOf(order), run);
}

/** Whether a VM with this metadata is of the run. */
export function isOfRun(
  metadata: Readonly<Record<string, unknown>> | undefined,
  run: string,
): boolean {
  return metadata?.[RUN_OF] === run;
}

function vmRequest(
  { name, image, labels, cpus, memoryMb, deadlineSeconds, config }: RunOrder,
  workload: NonNullable<ManifestInput['workload']>,
  run: string,
): CreateVmRequest {
  const manifest = { name, image, workload, ...(labels === undefined ? {} : { labels }) };
  return {
    name,
    ...(cpus === undefined ? {} : { cpu_cores: cpus }),
    ...(memoryMb === undefined ? {} : { memory_mb: memoryMb }),
    ...(deadlineSeconds === undefined ? {} : { deadline_seconds: deadlineSeconds }),
    config: { ...config, manifest, metadata: { ...config.metadata, [RUN_OF]: run } },
  };
}

function workloadOf({
  words,
  entrypoint,
  env,
  workdir,
  user,
}: RunOrder): NonNullable<ManifestInput['workload']> {
  return {
    restart: 'never',
    ...programMembers(entrypoint, words),
    ...(env === undefined ? {} : { env }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(user === undefined ? {} : { user }),
  };
}

/**
 * The members of a manifest's workload for an entrypoint and words of a command line: words alone replace the image's command and
 * leave its entrypoint. Throws UsageError if nothing is left to start.
 */
export function programMembers(
  entrypoint: string | undefined,
  words: readonly string[],
): { readonly entrypoint?: string[]; readonly args?: string[] } {
  if (entrypoint === undefined) return words.length === 0 ? {} : { args: [...words] };
  const all = entrypoint === '' ? [...words] : [entrypoint, ...words];
  if (all.length === 0)
    throw new UsageError('An empty --entrypoint needs a program after the image');
  return { entrypoint: all };
}

/** The program as an exec: in a VM that runs nothing it is started as the image says. Throws UsageError if there is none. */
export function execOf(order: RunOrder, image: Image): CreateExec {
  const { words, entrypoint, timeoutMs, ...given } = order;
  const own = entrypoint === undefined ? undefined : entrypoint === '' ? [] : [entrypoint];
  const program = programOf(image, { ...given, args: words, entrypoint: own });
  if (program === null) {
    throw new UsageError(`${order.image} names no program: write one after the image`);
  }
  return { ...program, ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }) };
}

/** FILE:PATH. The last colon that a slash follows divides them, so FILE may have colons. */
export function parseVolume(text: string): Volume {
  const [, source = '', path = '', mode] = /^(.+):(\/[^:]*)(?::(.*))?$/.exec(text) ?? [];
  if (mode !== undefined) {
    throw new UsageError(`${text}: -v makes a copy, so there is no ":${mode}"; write FILE:PATH`);
  }
  if (source === '') {
    throw new UsageError(
      `${text} is not a copy: write FILE:PATH, with an absolute PATH in the guest`,
    );
  }
  if (path.split('/').includes('..')) throw new UsageError(`${text} has a segment ".."`);
  const target = posix.normalize(path).replace(/(?<=.)\/+$/, '');
  return { source, target, isDirectory: path.endsWith('/') || path.endsWith('/.') };
}

/** Throws UsageError for a copy that would be gone after the boot that a detached program needs. */
export function requireLasting(volumes: readonly Volume[]): void {
  for (const { target } of volumes) {
    const lost = LOST_AT_BOOT.find((place) => target === place || target.startsWith(`${place}/`));
    if (lost === undefined) continue;
    throw new UsageError(
      `With -d nothing can be copied below ${lost}: the guest boots again before the program starts`,
    );
  }
}
