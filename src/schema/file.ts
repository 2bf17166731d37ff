// schema: files in guests: the facts about one, a list of a directory, what was unpacked of an archive, and what a watch tells.

import { type Static, Type } from 'typebox';
import { Int64, Timestamp } from './parts.ts';

export const FILE_TYPES = [
  'file',
  'directory',
  'link',
  'character',
  'block',
  'fifo',
  'socket',
] as const;

/** The form of `owner`: the number of a user and that of a group. */
export const OWNER_PATTERN = '^\\d{1,10}:\\d{1,10}$';

/** The form of `mode`: octal, up to 7777. */
export const MODE_PATTERN = '^[0-7]{1,5}$';

const FACTS = {
  name: Type.String({
    description: 'The last part of its path; bytes that are not UTF-8 are U+FFFD',
  }),
  name_escaped: Type.Optional(
    Type.String({ description: 'The name as a path has it; only if it is not UTF-8' }),
  ),
  type: Type.String({ description: FILE_TYPES.join(', ') }),
  size: Int64({ description: 'Bytes' }),
  mode: Type.String({ description: 'Octal, four digits' }),
  uid: Int64({ description: 'Number of the user that it belongs to' }),
  gid: Int64({ description: 'Number of its group' }),
  mtime: Timestamp('When its content was changed last'),
  links: Int64({ description: 'Number of its names' }),
  target: Type.Optional(Type.String({ description: 'Of a link' })),
  etag: Type.String({ description: 'Of this version, with its quotes' }),
};

export const FileFactsSchema = Type.Object(FACTS, {
  $id: 'FileFacts',
  description: 'The facts about a file, directory or other name in a guest',
});

export const GuestFileSchema = Type.Object(
  {
    ...FACTS,
    entries: Type.Optional(
      Type.Array(FileFactsSchema, {
        description: 'What is in a directory that is listed, in the order of the file system',
      }),
    ),
    more: Type.Optional(
      Type.Boolean({ description: 'Of a list: there are more entries than its limit' }),
    ),
    unpacked: Type.Optional(
      Type.Object(
        {
          entries: Int64({ description: 'Entries of the archive' }),
          bytes: Int64({ description: 'Content of its files' }),
        },
        { $id: 'Unpacked', description: 'What was unpacked into a directory' },
      ),
    ),
  },
  { $id: 'GuestFile', description: 'The facts about a file in a guest, and what was asked for' },
);

export type FileFacts = Static<typeof FileFactsSchema>;
export type GuestFile = Static<typeof GuestFileSchema>;

/** What a watch tells of one file. */
export const FILE_CHANGES = ['created', 'changed', 'removed', 'moved'] as const;

/** Why a watch has ended. */
export const WATCH_ENDS = [
  'directory_gone',
  'guest_gone',
  'too_many_directories',
  'too_slow',
  'daemon_stops',
  'key_revoked',
] as const;

export type WatchEnd = (typeof WATCH_ENDS)[number];

/** One change below a directory that is watched. */
export interface FileChange {
  readonly type: (typeof FILE_CHANGES)[number];
  /** From the root on; of a move the new path. Bytes that are not UTF-8 are U+FFFD. */
  readonly path: string;
  /** The path as a request has it; only if it is not UTF-8. */
  readonly path_escaped?: string;
  /** Of a move: the path before. */
  readonly from?: string;
  readonly from_escaped?: string;
  /** `file` is everything that is no directory. */
  readonly kind: 'file' | 'directory';
}

/** What a watch tells. After `overflow` changes are missing: the reader lists the directory again. */
export type FileWatchEvent =
  | FileChange
  | { readonly type: 'overflow' }
  | { readonly type: 'end'; readonly reason: WatchEnd };
