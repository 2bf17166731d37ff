// guest: what is read of files: their content, whole or in part, their facts, the list of a directory.
#include "files/read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/describe.h"
#include "files/exchange.h"
#include "files/kernel_files.h"
#include "files/place.h"

#define JSON_TYPE "application/json"
#define BYTES_TYPE "application/octet-stream"

static char piece[PIECE_BYTES];

// A file whose size says nothing: it is read to its end.
__attribute__((noreturn)) static void send_endless(int fd, const char *path) {
  ssize_t count = exchange_is_head() ? 0 : read(fd, piece, sizeof piece);
  // An error of the first read can still be answered.
  if (count < 0) exchange_fail_errno(errno, path);
  exchange_begin_answer(200, "OK", BYTES_TYPE, -1);
  for (; count > 0; count = read(fd, piece, sizeof piece)) exchange_write(piece, (size_t)count);
  if (count < 0) exchange_break();
  exchange_end();
}

__attribute__((noreturn)) static void send_file(int fd, const struct stat *facts, const char *path) {
  long long first = 0, last = facts->st_size - 1;
  describe_check_conditions(facts, true, path);
  if (kernel_files_are_at(fd)) {
    describe_headers(facts);
    send_endless(fd, path);
  }
  bool is_part = describe_range(facts, &first, &last);
  describe_headers(facts);
  exchange_add_header("Accept-Ranges", "bytes");
  if (is_part) exchange_add_header("Content-Range", "bytes %lld-%lld/%lld", first, last, (long long)facts->st_size);
  posix_fadvise(fd, first, 0, POSIX_FADV_SEQUENTIAL);
  long long left = last - first + 1;
  exchange_begin_answer(is_part ? 206 : 200, is_part ? "Partial Content" : "OK", BYTES_TYPE, left);
  while (left > 0 && !exchange_is_head()) {
    ssize_t count = pread(fd, piece, left < (long long)sizeof piece ? (size_t)left : sizeof piece, first);
    // A file that became shorter cannot have the length that was announced.
    if (count <= 0) exchange_break();
    exchange_write(piece, (size_t)count);
    first += count;
    left -= count;
  }
  exchange_end();
}

// Writes the description of a name in a directory. Returns its length, or 0 if the name is gone meanwhile.
static size_t describe_name(int directory, const char *name, char *text, size_t size) {
  char target[4096];
  struct stat facts;
  if (fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) < 0) return 0;
  ssize_t length = S_ISLNK(facts.st_mode) ? readlinkat(directory, name, target, sizeof target - 1) : -1;
  if (length >= 0) target[length] = '\0';
  return describe_json(text, size, name, &facts, length >= 0 ? target : NULL);
}

// The description of what a path leads to, by the last name of the path.
static size_t describe_as_named(const char *path, const struct stat *facts, const char *target, char *text, size_t size) {
  static char copy[FILE_PATH_BYTES], directory[FILE_PATH_BYTES];
  strcpy(copy, path);
  const char *name = place_split(copy, directory);
  return describe_json(text, size, name[0] == '\0' ? "/" : name, facts, target);
}

// In the order of the file system, so that no more than one entry is in memory.
__attribute__((noreturn)) static void send_list(int fd, const struct stat *facts, const struct file_options *options) {
  static char text[DESCRIPTION_BYTES];
  DIR *directory = fdopendir(fd);
  if (directory == NULL) exchange_fail_errno(errno, options->path);
  describe_headers(facts);
  exchange_begin_answer(200, "OK", JSON_TYPE, -1);
  // The facts about the directory, without their closing brace.
  exchange_write(text, describe_as_named(options->path, facts, NULL, text, sizeof text) - 1);
  exchange_write(",\"entries\":[", 12);
  int64_t index = 0, listed = 0;
  bool more = false;
  struct dirent *entry;
  while (errno = 0, (entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (index++ < options->offset) continue;
    more = options->limit > 0 && listed == options->limit;
    if (more) break;
    size_t length = describe_name(fd, entry->d_name, text, sizeof text);
    if (length == 0) continue;
    if (listed++ > 0) exchange_write(",", 1);
    exchange_write(text, length);
  }
  if (errno != 0) exchange_break();
  const char *end = more ? "],\"more\":true}" : "],\"more\":false}";
  exchange_write(end, strlen(end));
  exchange_end();
}

__attribute__((noreturn)) static void send_facts(int root, const struct file_options *options) {
  static char text[DESCRIPTION_BYTES];
  struct stat facts;
  char target[4096];
  int fd = place_open(root, options->path, O_PATH | (options->follows ? 0 : O_NOFOLLOW));
  if (fd < 0 || fstat(fd, &facts) < 0) exchange_fail_errno(errno, options->path);
  describe_check_conditions(&facts, true, options->path);
  ssize_t length = S_ISLNK(facts.st_mode) ? readlinkat(fd, "", target, sizeof target - 1) : -1;
  if (length >= 0) target[length] = '\0';
  describe_as_named(options->path, &facts, length >= 0 ? target : NULL, text, sizeof text);
  describe_headers(&facts);
  exchange_answer(200, "OK", JSON_TYPE, text);
}

void read_serve(int root, const struct file_options *options) {
  struct stat facts;
  if (options->format == FORMAT_STAT) send_facts(root, options);
  int fd = place_open_readable(root, options->path, options->follows, &facts);
  if (fd < 0) exchange_fail_errno(errno, options->path);
  bool lists = options->format == FORMAT_LIST || (options->format == FORMAT_NONE && S_ISDIR(facts.st_mode));
  if (lists && !S_ISDIR(facts.st_mode)) exchange_fail(409, "FILE_TYPE_CONFLICT", options->path, "this is no directory");
  if (lists) send_list(fd, &facts, options);
  if (S_ISDIR(facts.st_mode)) exchange_fail(409, "FILE_TYPE_CONFLICT", options->path, "this is a directory");
  if (!S_ISREG(facts.st_mode)) exchange_fail(409, "FILE_TYPE_CONFLICT", options->path, "this is no regular file");
  send_file(fd, &facts, options->path);
}
