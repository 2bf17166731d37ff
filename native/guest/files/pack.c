// guest: a tree of files as an archive, written while it is read.
#include "files/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files/exchange.h"
#include "files/kernel_files.h"
#include "files/place.h"
#include "files/tar_header.h"

#define DEPTH_MAX 256
// Files with several names that are remembered, so that the later names become links. Beyond that a file is written again.
#define NAMES_MAX 1024
#define NAMES_BYTES_MAX (256 * 1024)
#define ATTRIBUTE_PREFIX "SCHILY.xattr."
#define ATTRIBUTE_NAME_BYTES 256

struct named {
  dev_t device;
  ino_t inode;
  size_t at;  // of `names`
};

static struct tar_entry entry;
static struct tar_records records;
static struct named known[NAMES_MAX];
static int known_count;
static char names[NAMES_BYTES_MAX];
static size_t names_length;
static char piece[PIECE_BYTES];

static void pad(int64_t size) {
  static const char zeros[TAR_BLOCK_BYTES];
  size_t over = (size_t)(size % TAR_BLOCK_BYTES);
  if (over > 0) exchange_write(zeros, TAR_BLOCK_BYTES - over);
}

static void write_header(void) {
  unsigned char block[TAR_BLOCK_BYTES], records_block[TAR_BLOCK_BYTES];
  if (!tar_write_header(block, &entry, &records)) exchange_break();
  if (records.length > 0) {
    tar_write_records_header(records_block, records.length);
    exchange_write(records_block, sizeof records_block);
    exchange_write(records.data, records.length);
    pad((int64_t)records.length);
    records.length = 0;
  }
  exchange_write(block, sizeof block);
}

// Attributes that do not fit are left out: an archive has no other place for them.
static void add_attributes(int fd) {
  static char list[32768], value[65536];
  char name[sizeof ATTRIBUTE_PREFIX + ATTRIBUTE_NAME_BYTES];
  ssize_t length = flistxattr(fd, list, sizeof list);
  for (const char *at = list; at < list + length; at += strlen(at) + 1) {
    ssize_t size = fgetxattr(fd, at, value, sizeof value);
    snprintf(name, sizeof name, ATTRIBUTE_PREFIX "%.*s", ATTRIBUTE_NAME_BYTES - 1, at);
    if (size >= 0) tar_add_record(&records, name, value, (size_t)size);
  }
}

// Whether the file was written under another name before, which becomes the target. Remembers it otherwise.
static bool is_known(const struct stat *facts) {
  if (facts->st_nlink < 2) return false;
  for (int i = 0; i < known_count; i++) {
    if (known[i].device != facts->st_dev || known[i].inode != facts->st_ino) continue;
    strcpy(entry.target, names + known[i].at);
    return true;
  }
  size_t length = strlen(entry.path) + 1;
  if (known_count < NAMES_MAX && length <= sizeof names - names_length) {
    known[known_count++] = (struct named){facts->st_dev, facts->st_ino, names_length};
    memcpy(names + names_length, entry.path, length);
    names_length += length;
  }
  return false;
}

static void write_content(int fd, int64_t size) {
  int64_t left = size;
  bool is_short = false;
  while (left > 0) {
    size_t most = left < (int64_t)sizeof piece ? (size_t)left : sizeof piece;
    ssize_t count = is_short ? (ssize_t)most : read(fd, piece, most);
    if (count < 0) exchange_break();
    if (count == 0) {
      // The header has the length from before the file became shorter. As with other programs zeros follow.
      is_short = true;
      memset(piece, 0, sizeof piece);
      continue;
    }
    exchange_write(piece, (size_t)count);
    left -= count;
  }
  pad(size);
}

static void take_facts(const struct stat *facts) {
  entry.mode = facts->st_mode & 07777;
  entry.uid = facts->st_uid;
  entry.gid = facts->st_gid;
  entry.mtime = facts->st_mtim;
  entry.size = 0;
  entry.major = entry.minor = 0;
  entry.target[0] = '\0';
}

static void pack_below(int fd, size_t length, int depth);

// Packs an open file or directory whose path is in the entry, `length` bytes long. Closes it.
static void pack_open(int fd, const struct stat *facts, size_t length, int depth) {
  take_facts(facts);
  if (S_ISDIR(facts->st_mode)) {
    if (length + 2 > sizeof entry.path || depth == DEPTH_MAX) exchange_break();
    strcpy(entry.path + length, "/");
    entry.type = TAR_DIRECTORY;
    add_attributes(fd);
    write_header();
    pack_below(fd, length + 1, depth);
    return;
  }
  entry.type = is_known(facts) ? TAR_HARD_LINK : TAR_FILE;
  entry.size = entry.type == TAR_FILE ? facts->st_size : 0;
  if (entry.type == TAR_FILE) add_attributes(fd);
  write_header();
  if (entry.type == TAR_FILE) write_content(fd, entry.size);
  close(fd);
}

// Packs a name that is neither a file nor a directory.
static void pack_other(int parent, const char *name, const struct stat *facts) {
  take_facts(facts);
  switch (facts->st_mode & S_IFMT) {
    case S_IFLNK: {
      ssize_t size = readlinkat(parent, name, entry.target, sizeof entry.target - 1);
      if (size < 0) return;
      entry.target[size] = '\0';
      entry.type = TAR_LINK;
      break;
    }
    case S_IFCHR:
    case S_IFBLK:
      entry.type = S_ISCHR(facts->st_mode) ? TAR_CHARACTER : TAR_BLOCK;
      entry.major = major(facts->st_rdev);
      entry.minor = minor(facts->st_rdev);
      break;
    case S_IFIFO:
      entry.type = TAR_FIFO;
      break;
    default:
      // A socket belongs to the program that listens on it.
      return;
  }
  write_header();
}

// Packs a name in a directory. One that is gone meanwhile is left out.
static void pack_name(int parent, const char *name, size_t length, int depth) {
  struct stat facts;
  if (fstatat(parent, name, &facts, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT) exchange_break();
    return;
  }
  if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)) return pack_other(parent, name, &facts);
  int fd = openat(parent, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return;
  // An archive in which a file is missing would look whole.
  if (fd < 0 || fstat(fd, &facts) < 0) exchange_break();
  if (S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode)) pack_open(fd, &facts, length, depth);
  else close(fd);
}

static void pack_below(int fd, size_t length, int depth) {
  // What the kernel shows there is no data of the guest.
  if (kernel_files_are_at(fd)) {
    close(fd);
    return;
  }
  DIR *directory = fdopendir(fd);
  struct dirent *found;
  if (directory == NULL) exchange_break();
  while (errno = 0, (found = readdir(directory)) != NULL) {
    size_t more = strlen(found->d_name);
    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) continue;
    if (length + more + 1 > sizeof entry.path) exchange_break();
    strcpy(entry.path + length, found->d_name);
    pack_name(fd, found->d_name, length + more, depth + 1);
  }
  if (errno != 0) exchange_break();
  closedir(directory);
}

// The name of the first entry: what is asked for, or the last name of the path.
static void name_first(const struct file_options *options) {
  static char copy[FILE_PATH_BYTES], directory[FILE_PATH_BYTES];
  strcpy(copy, options->as[0] != '\0' ? options->as : options->path);
  const char *name = options->as[0] != '\0' ? copy : place_split(copy, directory);
  snprintf(entry.path, sizeof entry.path, "%s", name[0] == '\0' ? "." : name);
}

void pack_serve(int root, const struct file_options *options) {
  static const char end[2 * TAR_BLOCK_BYTES];
  struct stat facts;
  struct file_place place;
  int fd = place_open_readable(root, options->path, options->follows, &facts);
  if (fd < 0) exchange_fail_errno(errno, options->path);
  if (S_ISSOCK(facts.st_mode)) exchange_fail(409, "FILE_TYPE_CONFLICT", options->path, "this is a socket");
  name_first(options);
  bool is_open = S_ISREG(facts.st_mode) || S_ISDIR(facts.st_mode);
  if (!is_open && !place_find(root, options->path, options->follows, &place)) exchange_fail_errno(errno, options->path);
  exchange_add_header("X-Volant-Type", "%s", S_ISDIR(facts.st_mode) ? "directory" : S_ISREG(facts.st_mode) ? "file" : "other");
  exchange_begin_answer(200, "OK", "application/x-tar", -1);
  if (exchange_is_head()) exchange_end();
  if (is_open) pack_open(fd, &facts, strlen(entry.path), 0);
  else pack_other(place.parent, place.name, &facts);
  exchange_write(end, sizeof end);
  exchange_end();
}
