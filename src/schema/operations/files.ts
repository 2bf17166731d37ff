// schema, operations: files in guests. http/guests/files/file-proxy.ts binds and answers them, because they stream both bodies,
// except for the watch.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import { GuestFileSchema, MODE_PATTERN, OWNER_PATTERN, WATCH_ENDS } from '../file.ts';
import { Int64, OneOf } from '../parts.ts';
import { errors, type Operation, type QueryParameter } from './operation.ts';

export const TAR_TYPE = 'application/x-tar';
export const BYTES_TYPE = 'application/octet-stream';

const PATH = '/api/v1/vms/{name}/files/{path}';
const BINARY = Type.String({ format: 'binary' });

const ROOT: QueryParameter = {
  name: 'root',
  description:
    'A directory of the guest; / if absent. The path begins there, and no link leads out of it',
  schema: Type.String({ pattern: '^/' }),
};
const FOLLOW: QueryParameter = {
  name: 'follow',
  description: 'false: a link at the end of the path is not followed; true if absent',
  schema: Type.Boolean(),
};
const PARENTS: QueryParameter = {
  name: 'parents',
  description: 'true: missing directories are made',
  schema: Type.Boolean(),
};
const FACTS: readonly QueryParameter[] = [
  {
    name: 'mode',
    description: 'Octal, such as 0644',
    schema: Type.String({ pattern: MODE_PATTERN }),
  },
  {
    name: 'owner',
    description: 'Numbers of user and group, such as 1000:1000',
    schema: Type.String({ pattern: OWNER_PATTERN }),
  },
  {
    name: 'mtime',
    description: 'When its content was changed last, in milliseconds since 1970',
    schema: Int64({ maximum: 9_007_199_254_740 }),
  },
];

const FILE_HEADERS = {
  ETag: { description: 'This version of the file', schema: Type.String() },
  'Last-Modified': { description: 'When its content was changed last', schema: Type.String() },
  'X-Volant-Type': { description: 'file, directory, link and so on', schema: Type.String() },
  'X-Volant-Mode': { description: 'Octal', schema: Type.String() },
  'X-Volant-Owner': { description: 'Numbers of user and group', schema: Type.String() },
};

const CONDITIONS = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'];

export const FILE_OPERATIONS = {
  getVMFile: {
    scope: 'operate',
    method: 'GET',
    path: PATH,
    tags: ['files'],
    summary: 'Read a file, a directory or a tree of a guest',
    description:
      'A file is sent as bytes, in one part if asked by Range. A directory is listed as JSON. With format=tar, or Accept: application/x-tar, a file or a tree is sent as an archive. HEAD gives the headers only.',
    query: [
      {
        name: 'format',
        description: 'file, list, stat (facts as JSON) or tar; by default what the path is decides',
        schema: OneOf(['file', 'list', 'stat', 'tar'], 'What is sent'),
      },
      FOLLOW,
      ROOT,
      {
        name: 'as',
        description: 'Of an archive: the name of its first entry; the name of the file if absent',
        schema: Type.String({ minLength: 1 }),
      },
      { name: 'offset', description: 'Of a list: entries to skip', schema: Int64() },
      { name: 'limit', description: 'Of a list: most entries; all if absent', schema: Int64() },
    ],
    headers: ['range', 'if-range', ...CONDITIONS],
    answers: {
      200: {
        description: 'The file, the list, the facts, or the archive',
        contentType: BYTES_TYPE,
        schema: BINARY,
        otherwise: {
          'application/json': GuestFileSchema,
          [TAR_TYPE]: BINARY,
        },
        headers: FILE_HEADERS,
      },
      206: {
        description: 'The part that was asked for',
        contentType: BYTES_TYPE,
        schema: BINARY,
        headers: {
          ...FILE_HEADERS,
          'Content-Range': { description: 'Which part it is', schema: Type.String() },
        },
      },
      304: { description: 'The version is the one that the client has', headers: FILE_HEADERS },
      ...errors(400, 404, 409, 412, 416, 502, 503),
    },
  },
  putVMFile: {
    scope: 'operate',
    method: 'PUT',
    path: PATH,
    tags: ['files'],
    summary: 'Write a file, a directory or a tree of a guest',
    description:
      'The body replaces the file in one step: a reader sees the old or the new one, whole, and a body that is aborted changes nothing. What is not said about mode and owner stays as it was; a new file has 0644 and 0:0. With type=directory a directory is made. An archive (Content-Type: application/x-tar, or format=tar) is unpacked into the directory, and nothing is written outside of it.',
    query: [
      {
        name: 'type',
        description: 'What is made; file if absent',
        schema: OneOf(['file', 'directory'], 'What is made'),
      },
      {
        name: 'format',
        description: 'What the body is; by default its Content-Type decides',
        schema: OneOf(['file', 'tar'], 'What the body is'),
      },
      ...FACTS,
      {
        name: 'keep_owners',
        description:
          'Of an archive, true: owners, set-user-ID bits and all attributes are those of the archive. Otherwise everything belongs to owner, or to root',
        schema: Type.Boolean(),
      },
      PARENTS,
      {
        name: 'sync',
        description: 'true: the answer follows when the change is on the disk of the guest',
        schema: Type.Boolean(),
      },
      FOLLOW,
      ROOT,
    ],
    headers: ['if-match', 'if-none-match', 'if-unmodified-since'],
    request: {
      schema: BINARY,
      bytesMax: LIMITS.fileBodyBytesMax,
      raw: true,
      contentTypes: [BYTES_TYPE, TAR_TYPE],
    },
    answers: {
      200: {
        description: 'Replaced, or unpacked',
        schema: GuestFileSchema,
        headers: FILE_HEADERS,
      },
      201: { description: 'Created', schema: GuestFileSchema, headers: FILE_HEADERS },
      ...errors(400, 404, 409, 412, 413, 502, 503, 507),
    },
  },
  changeVMFile: {
    scope: 'operate',
    method: 'PATCH',
    path: PATH,
    tags: ['files'],
    summary: 'Rename a file of a guest, or change its mode, owner or time',
    description: 'All that is asked for. A rename replaces a file that has the new path.',
    query: [
      {
        name: 'to',
        description: 'The new path, from the root on',
        schema: Type.String({ minLength: 1 }),
      },
      {
        name: 'replace',
        description: 'false: a file that has the new path is an error; true if absent',
        schema: Type.Boolean(),
      },
      ...FACTS,
      PARENTS,
      FOLLOW,
      ROOT,
    ],
    headers: ['if-match', 'if-unmodified-since'],
    answers: {
      200: { description: 'Its facts now', schema: GuestFileSchema, headers: FILE_HEADERS },
      ...errors(400, 404, 409, 412, 502, 503, 507),
    },
  },
  deleteVMFile: {
    scope: 'operate',
    method: 'DELETE',
    path: PATH,
    tags: ['files'],
    summary: 'Delete a file or a directory of a guest',
    query: [
      {
        name: 'recursive',
        description: 'true: a directory is deleted with all that is in it',
        schema: Type.Boolean(),
      },
      ROOT,
    ],
    headers: ['if-match', 'if-unmodified-since'],
    answers: { 204: { description: 'Deleted' }, ...errors(400, 404, 409, 412, 502, 503) },
  },
} as const satisfies Record<string, Operation>;

export const FILE_WATCH_OPERATIONS = {
  watchVMFiles: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/files-watch',
    tags: ['files'],
    summary: 'Watch a directory of a guest',
    description: `Server-Sent Events: created, changed, removed and moved with {"path","kind"}, and moved with "from", too. kind is directory, or file for everything else. overflow: the guest changed more than could be reported, so list the directory again. end has {"reason"}, after which the stream ends: ${WATCH_ENDS.join(', ')}. The answer begins when changes are seen.`,
    query: [
      {
        name: 'path',
        description: 'A directory of the guest, such as /srv',
        schema: Type.String({ minLength: 1 }),
        required: true,
      },
      {
        name: 'recursive',
        description: 'true: all directories below it, too, also those that are made later',
        schema: Type.Boolean(),
      },
      ROOT,
    ],
    answers: {
      200: { description: 'Events', schema: Type.String(), contentType: 'text/event-stream' },
      ...errors(400, 404, 409, 502, 503),
    },
  },
} as const satisfies Record<string, Operation>;
