// guest: an archive that arrives as a stream, entry by entry. It decides nothing about files: see unpack.c. Paths that lead out
// of the directory by themselves are refused here.
#include "files/tar_stream.h"

#include <string.h>

#define SKIPPED_BYTES 4096

// Long names of GNU tar for the next entry. Empty: none.
static char long_path[TAR_PATH_BYTES], long_target[TAR_PATH_BYTES];

static bool fail(struct tar_stream *stream, const char *problem) {
  stream->problem = problem;
  return false;
}

// Returns the number of bytes that were there before the end.
static size_t read_up_to(struct tar_stream *stream, void *buffer, size_t size) {
  size_t length = 0, count;
  while (length < size && (count = stream->read((char *)buffer + length, size - length)) > 0) length += count;
  return length;
}

size_t tar_read(struct tar_stream *stream, void *buffer, size_t size) {
  if ((int64_t)size > stream->left) size = (size_t)stream->left;
  if (size == 0) return 0;
  size_t count = stream->read(buffer, size);
  if (count == 0) fail(stream, "the archive ends in the middle of a file");
  stream->left -= (int64_t)count;
  stream->unread -= (int64_t)count;
  return count;
}

static bool skip_rest(struct tar_stream *stream) {
  char skipped[SKIPPED_BYTES];
  while (stream->unread > 0) {
    size_t most = stream->unread < SKIPPED_BYTES ? (size_t)stream->unread : SKIPPED_BYTES;
    size_t count = stream->read(skipped, most);
    if (count == 0) return fail(stream, "the archive ends in the middle of a file");
    stream->unread -= (int64_t)count;
  }
  stream->left = 0;
  return true;
}

static void begin_content(struct tar_stream *stream, int64_t size) {
  stream->left = size;
  stream->unread = (size + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
}

// Reads the whole content, which must fit.
static bool take_content(struct tar_stream *stream, char *out, size_t size, size_t *length) {
  if (stream->entry.size > (int64_t)size) return fail(stream, "an extended header is too long");
  begin_content(stream, stream->entry.size);
  *length = (size_t)stream->entry.size;
  if (read_up_to(stream, out, *length) < *length) return fail(stream, "the archive ends in an extended header");
  stream->unread -= stream->entry.size;
  return skip_rest(stream);
}

static bool take_long(struct tar_stream *stream, char out[TAR_PATH_BYTES]) {
  size_t length;
  if (!take_content(stream, out, TAR_PATH_BYTES - 1, &length)) return false;
  out[length] = '\0';
  return true;
}

// Removes what a path does not need. Returns false for a path that leads up.
static bool make_plain(char *path) {
  char *to = path;
  for (const char *at = path; *at != '\0';) {
    at += strspn(at, "/");
    size_t length = strcspn(at, "/");
    if (length == 2 && memcmp(at, "..", 2) == 0) return false;
    if (length > 0 && !(length == 1 && at[0] == '.')) {
      if (to > path) *to++ = '/';
      memmove(to, at, length);
      to += length;
    }
    at += length;
  }
  *to = '\0';
  return true;
}

static bool complete_entry(struct tar_stream *stream) {
  struct tar_entry *entry = &stream->entry;
  struct tar_record record;
  size_t at = 0;
  bool malformed = false;
  if (long_path[0] != '\0') strcpy(entry->path, long_path);
  if (long_target[0] != '\0') strcpy(entry->target, long_target);
  long_path[0] = long_target[0] = '\0';
  while (tar_next_record(&stream->records, &at, &record, &malformed)) {
    if (!tar_apply_record(entry, &record)) return fail(stream, "a record of an extended header is malformed");
  }
  if (malformed) return fail(stream, "an extended header is malformed");
  if (entry->sparse) return fail(stream, "sparse files of GNU tar are not supported");
  if (!make_plain(entry->path)) return fail(stream, "the path of an entry has a segment \"..\"");
  if (entry->type == TAR_HARD_LINK && !make_plain(entry->target)) {
    return fail(stream, "the target of a hard link has a segment \"..\"");
  }
  // Only files have content; some programs announce one for links that is not there.
  bool has_content = entry->type == TAR_FILE;
  if (!has_content) entry->size = 0;
  begin_content(stream, entry->size);
  return true;
}

bool tar_next(struct tar_stream *stream) {
  unsigned char block[TAR_BLOCK_BYTES];
  bool extended = false;
  if (!skip_rest(stream)) return false;
  stream->records.length = 0;
  for (;;) {
    size_t length = read_up_to(stream, block, sizeof block);
    if (length == 0 && !extended) return false;
    if (length < sizeof block) return fail(stream, "the archive ends in a header");
    if (tar_is_zero(block)) return extended ? fail(stream, "an extended header belongs to no entry") : false;
    if (!tar_read_header(block, &stream->entry)) return fail(stream, "this is no archive: a header has a wrong sum or number");
    switch (stream->entry.type) {
      case 'x':
        if (!take_content(stream, stream->records.data, sizeof stream->records.data, &stream->records.length)) return false;
        break;
      case 'g':
      case 'V':
        // Facts about the whole archive, and its name.
        begin_content(stream, stream->entry.size);
        if (!skip_rest(stream)) return false;
        continue;
      case 'L':
        if (!take_long(stream, long_path)) return false;
        break;
      case 'K':
        if (!take_long(stream, long_target)) return false;
        break;
      default:
        return complete_entry(stream);
    }
    extended = true;
  }
}
