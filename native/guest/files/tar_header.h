// guest: the headers of an archive in the formats ustar and pax (POSIX.1-2001), and the long names of GNU tar. Pure.
#ifndef VOLANT_GUEST_TAR_HEADER_H
#define VOLANT_GUEST_TAR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define TAR_BLOCK_BYTES 512
// Of a path in an archive, and of the target of a link.
#define TAR_PATH_BYTES 4096
// Of the records of one extended header, with the attributes.
#define TAR_RECORDS_BYTES_MAX (128 * 1024)
#define TAR_RECORD_NAME_BYTES 300

enum tar_type { TAR_FILE = '0', TAR_HARD_LINK, TAR_LINK, TAR_CHARACTER, TAR_BLOCK, TAR_DIRECTORY, TAR_FIFO };

struct tar_entry {
  char type;  // of enum tar_type, or one that is not known
  mode_t mode;
  uint64_t uid, gid;
  int64_t size;
  struct timespec mtime;
  unsigned major, minor;
  char path[TAR_PATH_BYTES];
  char target[TAR_PATH_BYTES];  // of a link
  bool sparse;  // in a format of GNU tar that is not supported
};

// Records of extended headers: "LENGTH NAME=VALUE\n".
struct tar_records {
  char data[TAR_RECORDS_BYTES_MAX];
  size_t length;
};

struct tar_record {
  char name[TAR_RECORD_NAME_BYTES];
  const char *value;  // without a NUL
  size_t length;
};

// Adds a record. Returns false if there is no room.
bool tar_add_record(struct tar_records *records, const char *name, const void *value, size_t length);
// Takes the next record from `at` on, and moves it. Returns false at the end, or for records that are malformed, which
// `malformed` says.
bool tar_next_record(const struct tar_records *records, size_t *at, struct tar_record *record, bool *malformed);
// Puts a record into the entry if it is one of its members. Returns false if its value is malformed.
bool tar_apply_record(struct tar_entry *entry, const struct tar_record *record);
// Writes the header of an entry. What it has no room for is added to `records`, which the caller writes before it. Returns false
// if there is no room for that either.
bool tar_write_header(unsigned char block[TAR_BLOCK_BYTES], const struct tar_entry *entry, struct tar_records *records);
// Writes the header of `length` bytes of records that belong to the next entry.
void tar_write_records_header(unsigned char block[TAR_BLOCK_BYTES], size_t length);
// Reads a header. Returns false if it is none: its sum or a number is wrong.
bool tar_read_header(const unsigned char block[TAR_BLOCK_BYTES], struct tar_entry *entry);
// Whether a block has zeros only, as at the end of an archive.
bool tar_is_zero(const unsigned char block[TAR_BLOCK_BYTES]);

#endif
