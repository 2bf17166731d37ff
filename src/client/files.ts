// client: files in guests: content, facts, lists, changes, trees as archives, and what changes below a directory.

import { ConnectionError, toApiError } from './errors.ts';
import { type Call, type CallOptions, type Http, path, type Query } from './http.ts';
import { eventsOf } from './sse.ts';
import type { FileFacts, FileWatchEvent, GuestFile } from './types.ts';

/** The longest time of a timer. A transfer takes as long as it takes; its signal ends it. */
const UNBOUNDED_MS = 2_147_483_647;

const TAR_TYPE = 'application/x-tar';

export type FileBody = string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

export interface FilePlace extends CallOptions {
  /** A directory of the guest where paths begin, and which no link leads out of; / by default. */
  readonly root?: string;
}

export interface FileLinks {
  /** false: a link at the end of the path is not followed; true by default. */
  readonly follow?: boolean;
}

export interface FileConditions {
  /** Only this version: its ETag. */
  readonly ifMatch?: string;
  /** Only if it is not this version; `*`: only if there is no such file. */
  readonly ifNoneMatch?: string;
}

export interface FileAttributes {
  /** Octal, such as 0o644. */
  readonly mode?: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly mtimeMs?: number;
  /** Missing directories are made. */
  readonly parents?: boolean;
}

export interface ReadFileOptions extends FilePlace, FileLinks {
  /** The first byte, and the last one or the end. */
  readonly range?: { readonly first: number; readonly last?: number };
}

export interface WriteFileOptions extends FilePlace, FileLinks, FileConditions, FileAttributes {
  /** The answer follows when the change is on the disk of the guest. */
  readonly sync?: boolean;
}

export interface ChangeFileOptions extends FilePlace, FileLinks, FileAttributes {
  /** The new path. */
  readonly to?: string;
  /** false: a file that has the new path is an error. */
  readonly replace?: boolean;
  readonly ifMatch?: string;
}

export interface WriteTreeOptions extends FilePlace, Pick<FileAttributes, 'owner' | 'parents'> {
  /** Owners, set-user-ID bits and all attributes are those of the archive; otherwise all belongs to `owner`, or to root. */
  readonly keepOwners?: boolean;
  readonly sync?: boolean;
}

export interface WatchFilesOptions {
  /** As in FilePlace. */
  readonly root?: string;
  /** All directories below, too, also those that are made later. */
  readonly recursive?: boolean;
  /** Ends the watch; its generator rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What is in a directory, in the order of the file system. */
export interface FileList {
  readonly entries: readonly FileFacts[];
  /** There are more entries than the limit. */
  readonly more: boolean;
}

/** What was unpacked of an archive. */
export interface Unpacked {
  readonly entries: number;
  /** The content of its files. */
  readonly bytes: number;
}

/** A file that is being read. */
export interface FileContent {
  /** Of what is sent: the file, or the part that was asked for; null for files of the kernel, whose size is unknown. */
  readonly sizeBytes: number | null;
  readonly etag: string;
  /** Octal text, four digits. */
  readonly mode: string;
  /** Ends with an error if the answer breaks off. */
  readonly stream: ReadableStream<Uint8Array>;
}

export class Files {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Reads a file. Only the signal bounds the time of reading the stream. */
  async read(vm: string, filePath: string, options: ReadFileOptions = {}): Promise<FileContent> {
    const { range } = options;
    const response = await this.#open(
      {
        method: 'GET',
        path: pathOf(vm, filePath),
        query: { format: 'file', ...linkQuery(options) },
        headers: range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ''}` },
      },
      options,
    );
    const length = response.headers.get('Content-Length');
    return {
      sizeBytes: length === null ? null : Number(length),
      etag: response.headers.get('ETag') ?? '',
      mode: response.headers.get('X-Volant-Mode') ?? '',
      stream: streamOf(response),
    };
  }

  /** The facts about a file, directory or other name. */
  stat(vm: string, filePath: string, options: FilePlace & FileLinks = {}): Promise<FileFacts> {
    const query = { format: 'stat', ...linkQuery(options) };
    return this.#http.json({ method: 'GET', path: pathOf(vm, filePath), query, options });
  }

  /** What is in a directory, in the order of the file system. */
  async list(
    vm: string,
    filePath: string,
    options: FilePlace & { readonly offset?: number; readonly limit?: number } = {},
  ): Promise<FileList> {
    const { offset, limit } = options;
    const query = { format: 'list', root: options.root, offset, limit };
    const call = { method: 'GET', path: pathOf(vm, filePath), query, options } as const;
    const { entries = [], more = false } = await this.#http.json<GuestFile>(call);
    return { entries, more };
  }

  /** Writes a file in one step: a reader sees the old or the new one. Only the signal bounds the time. */
  async write(
    vm: string,
    filePath: string,
    body: FileBody,
    options: WriteFileOptions = {},
  ): Promise<FileFacts> {
    const call: Call = {
      method: 'PUT',
      path: pathOf(vm, filePath),
      query: { format: 'file', ...linkQuery(options), ...changeQuery(options), sync: options.sync },
      headers: { 'Content-Type': 'application/octet-stream', ...conditions(options) },
      body,
    };
    return (await this.#open(call, withoutTimeout(options))).json() as Promise<FileFacts>;
  }

  /** Makes a directory. With `parents` one that is there is no error. */
  async makeDirectory(
    vm: string,
    filePath: string,
    options: FilePlace & FileAttributes = {},
  ): Promise<FileFacts> {
    const query = { type: 'directory', root: options.root, ...changeQuery(options) };
    return this.#http.json({ method: 'PUT', path: pathOf(vm, filePath), query, options });
  }

  /** Renames a file, or changes its mode, owner or time: all that the options say. */
  change(vm: string, filePath: string, options: ChangeFileOptions = {}): Promise<FileFacts> {
    const { to, replace } = options;
    return this.#http.json({
      method: 'PATCH',
      path: pathOf(vm, filePath),
      query: { to, replace, ...linkQuery(options), ...changeQuery(options) },
      headers: conditions(options),
      options,
    });
  }

  /** Deletes a file, or a directory with all that is in it if it is `recursive`. */
  remove(
    vm: string,
    filePath: string,
    options: FilePlace & { readonly recursive?: boolean; readonly ifMatch?: string } = {},
  ): Promise<void> {
    return this.#http.done({
      method: 'DELETE',
      path: pathOf(vm, filePath),
      query: { recursive: options.recursive, root: options.root },
      headers: conditions(options),
      options,
    });
  }

  /** Reads a file or a tree as an archive. `as` is the name of its first entry; that of the file by default. */
  async readTree(
    vm: string,
    filePath: string,
    options: FilePlace & FileLinks & { readonly as?: string } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const query = { format: 'tar', as: options.as, ...linkQuery(options) };
    const call = { method: 'GET', path: pathOf(vm, filePath), query } as const;
    return streamOf(await this.#open(call, options));
  }

  /** Unpacks an archive into a directory, and nothing outside of it. Only the signal bounds the time. */
  async writeTree(
    vm: string,
    filePath: string,
    archive: FileBody,
    options: WriteTreeOptions = {},
  ): Promise<Unpacked> {
    const { keepOwners, sync } = options;
    const query = { format: 'tar', root: options.root, keep_owners: keepOwners, sync };
    const call: Call = {
      method: 'PUT',
      path: pathOf(vm, filePath),
      query: { ...query, ...changeQuery(options) },
      headers: { 'Content-Type': TAR_TYPE },
      body: archive,
    };
    const answer = await this.#open(call, withoutTimeout(options));
    const { unpacked = { entries: 0, bytes: 0 } } = (await answer.json()) as GuestFile;
    return unpacked;
  }

  /**
   * What changes in a directory, from the answer of the daemon on, until an event `end`. An event `overflow` means that
   * changes are missing: list the directory again. Rejects with ConnectionError if the connection is lost.
   */
  async *watch(
    vm: string,
    directory: string,
    { root, recursive, signal }: WatchFilesOptions = {},
  ): AsyncGenerator<FileWatchEvent, void, undefined> {
    const response = await this.#open(
      {
        method: 'GET',
        path: path`/api/v1/vms/${vm}/files-watch`,
        query: { path: directory, root, recursive },
        headers: { Accept: 'text/event-stream' },
      },
      signal === undefined ? {} : { signal },
    );
    for await (const { type, data } of eventsOf(streamOf(response), 'The watch broke', signal)) {
      // What the daemon says; kinds of a newer one are passed on.
      yield { type, ...JSON.parse(data) } as FileWatchEvent;
      if (type === 'end') return;
    }
    signal?.throwIfAborted();
    throw new ConnectionError('The watch ended without its end');
  }

  async #open(call: Call, options: CallOptions): Promise<Response> {
    const response = await this.#http.open({ ...call, options });
    if (response.status >= 300) throw await toApiError(response);
    return response;
  }
}

/** Throws a TypeError for a path with a segment "." or "..": URL parsers remove them. */
function pathOf(vm: string, filePath: string): string {
  const segments = filePath.replace(/^\/+/, '').split('/');
  if (segments.some((segment) => segment === '.' || segment === '..')) {
    throw new TypeError(`${filePath} has a segment "." or ".."`);
  }
  return `${path`/api/v1/vms/${vm}/files/`}${segments.map(encodeURIComponent).join('/')}`;
}

function linkQuery({ follow, root }: FileLinks & FilePlace): Query {
  return { follow, root };
}

function changeQuery({ mode, owner, mtimeMs, parents }: FileAttributes): Query {
  return {
    mode: mode === undefined ? undefined : mode.toString(8),
    owner: owner === undefined ? undefined : `${owner.uid}:${owner.gid}`,
    mtime: mtimeMs === undefined ? undefined : Math.trunc(mtimeMs),
    parents,
  };
}

function conditions({ ifMatch, ifNoneMatch }: FileConditions): Record<string, string> {
  return {
    ...(ifMatch === undefined ? {} : { 'If-Match': ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { 'If-None-Match': ifNoneMatch }),
  };
}

/** The answer to an upload follows its end. */
function withoutTimeout({ signal, timeoutMs = UNBOUNDED_MS }: CallOptions): CallOptions {
  return { timeoutMs, ...(signal === undefined ? {} : { signal }) };
}

function streamOf(response: Response): ReadableStream<Uint8Array> {
  return response.body ?? new Blob([]).stream();
}
