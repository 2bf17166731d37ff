// guest: an archive that arrives as a stream, entry by entry. It decides nothing about files: see unpack.c. Paths that lead out
// of the directory by themselves are refused here.
#ifndef VOLANT_GUEST_TAR_STREAM_H
#define VOLANT_GUEST_TAR_STREAM_H

#include "files/tar_header.h"

struct tar_stream {
  size_t (*read)(void *buffer, size_t size);  // reads from the archive; 0 is its end
  struct tar_entry entry;      // its path has no leading slash, no "." and no ".."; it is empty for the directory itself
  struct tar_records records;  // of the entry
  int64_t left;                // of the content
  int64_t unread;              // of the content with its padding
  const char *problem;         // why the archive cannot be read further, or NULL
};

// Proceeds to the next entry. Returns false at the end, and for a problem.
bool tar_next(struct tar_stream *stream);
// Reads from the content of the entry. Returns 0 at its end, and for a problem.
size_t tar_read(struct tar_stream *stream, void *buffer, size_t size);

#endif
