// lib: the program of a container image: what its entrypoint and command become with what a caller gives. Pure.

/** What an image says of its program. */
export interface ImageProgram {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Empty: /. */
  readonly workdir: string;
  /** Empty: root. */
  readonly user: string;
}

/** What replaces parts of it. Absent members are those of the image. */
export interface ProgramChanges {
  /** In place of the command. Empty: the image's, unless there is an entrypoint. */
  readonly args: readonly string[];
  /** In place of the entrypoint, and the command goes with it. */
  readonly entrypoint?: readonly string[] | undefined;
  /** Added to the image's. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly workdir?: string | undefined;
  readonly user?: string | undefined;
}

export interface Program {
  readonly argv: string[];
  readonly env?: Record<string, string>;
  readonly workdir?: string;
  readonly user?: string;
}

/** The members of an exec, or null if neither names a program. */
export function programOf(image: ImageProgram, changes: ProgramChanges): Program | null {
  const { args, entrypoint } = changes;
  const isOfImage = args.length === 0 && entrypoint === undefined;
  const argv = [...(entrypoint ?? image.entrypoint), ...(isOfImage ? image.command : args)];
  if (argv.length === 0) return null;
  const env = { ...image.env, ...changes.env };
  const workdir = changes.workdir ?? image.workdir;
  const user = changes.user ?? image.user;
  return {
    argv,
    ...(Object.keys(env).length === 0 ? {} : { env }),
    ...(workdir === '' ? {} : { workdir }),
    ...(user === '' ? {} : { user }),
  };
}
