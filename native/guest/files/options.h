// guest: what a request about files asks for, read from its target. Pure. The daemon has checked the same before, and says what
// is wrong in more detail.
#ifndef VOLANT_GUEST_OPTIONS_H
#define VOLANT_GUEST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/manifest_limits.h"

#define FILE_PATH_BYTES (REQUEST_TARGET_BYTES_MAX + 1)

// FORMAT_NONE: what the path is decides.
enum file_format { FORMAT_NONE, FORMAT_FILE, FORMAT_LIST, FORMAT_STAT, FORMAT_TAR };

struct file_options {
  char path[FILE_PATH_BYTES];  // below `root`, never with a leading slash
  char root[FILE_PATH_BYTES];  // links do not lead out of this directory
  char to[FILE_PATH_BYTES];    // the new path of a file, below `root`
  char as[FILE_PATH_BYTES];    // the name of the first entry of an archive; empty: that of the file
  enum file_format format;
  bool makes_directory;
  bool follows;      // a link at the end of the path is followed
  bool parents;      // directories that are missing are made
  bool recursive;    // a directory is deleted with all that it contains
  bool replaces;     // a rename may replace a file
  bool syncs;        // the answer follows when the change is on the disk
  bool keeps_owners;  // owners and all attributes are those of the archive
  bool has_mode, has_owner, has_mtime;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  struct timespec mtime;
  int64_t offset, limit;  // of a listing; a limit of 0: all
};

// Reads a target of the form /agent/files/PATH?QUERY from the first byte of PATH on. Returns the name of the first part that is
// wrong, or NULL.
const char *options_read(const char *from, struct file_options *options);
// Decodes %XX, and + as a space where `plus` is set. Returns false if the text is malformed, has a NUL, or does not fit.
bool options_decode(const char *from, size_t length, bool plus, char *out, size_t size);

#endif
