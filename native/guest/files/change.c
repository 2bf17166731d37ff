// guest: changes of files: write, make a directory, rename, set modes and owners, delete.
#include "files/change.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/describe.h"
#include "files/exchange.h"
#include "files/place.h"
#include "files/replace.h"

#define NEW_FILE_MODE 0644
#define NEW_DIRECTORY_MODE 0755
// A directory is open on each level.
#define DEPTH_MAX 256

static struct new_file writing = {.fd = -1};

static void abandon(void) {
  replace_abandon(&writing);
}

__attribute__((noreturn)) static void fail(const char *path) {
  exchange_fail_errno(errno, path);
}

// The facts as they are now.
__attribute__((noreturn)) static void answer_facts(int status, const char *reason, const struct file_place *place) {
  static char text[DESCRIPTION_BYTES];
  struct stat facts;
  if (fstatat(place->parent, place->name, &facts, AT_SYMLINK_NOFOLLOW) < 0) fail(place->name);
  describe_json(text, sizeof text, place->name, &facts, NULL);
  describe_headers(&facts);
  exchange_answer(status, reason, "application/json", text);
}

static void find(int root, const struct file_options *options, bool follows, struct file_place *place) {
  if (options->parents && !place_make_parents(root, options->path)) fail(options->path);
  if (!place_find(root, options->path, follows, place)) fail(options->path);
}

// Whether there is a file. Fails for what cannot be replaced by one.
static bool look_at_old(const struct file_place *place, const char *path, struct stat *old) {
  if (fstatat(place->parent, place->name, old, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT) fail(path);
    return false;
  }
  if (S_ISDIR(old->st_mode)) exchange_fail(409, "FILE_TYPE_CONFLICT", path, "this is a directory");
  // A new file in the place of a device would break what uses it. A link is only replaced if it is not followed.
  if (!S_ISREG(old->st_mode) && !S_ISLNK(old->st_mode)) {
    exchange_fail(409, "FILE_TYPE_CONFLICT", path, "this is no regular file");
  }
  return true;
}

static void receive(const char *path) {
  static char piece[PIECE_BYTES];
  size_t length;
  while ((length = exchange_read(piece, sizeof piece)) > 0) {
    for (size_t at = 0; at < length;) {
      ssize_t count = write(writing.fd, piece + at, length - at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail(path);
      at += (size_t)count;
    }
  }
}

void change_write(int root, const struct file_options *options) {
  struct file_place place;
  struct stat old;
  const char *path = options->path;
  find(root, options, options->follows, &place);
  bool exists = look_at_old(&place, path, &old);
  describe_check_conditions(exists ? &old : NULL, false, path);
  if (!replace_begin(&writing, place.parent)) fail(path);
  exchange_on_failure(abandon);
  receive(path);
  // What the request does not name stays as it was.
  bool is_file = exists && S_ISREG(old.st_mode);
  mode_t mode = options->has_mode ? options->mode : is_file ? old.st_mode & 07777 : NEW_FILE_MODE;
  uid_t uid = options->has_owner ? options->uid : is_file ? old.st_uid : 0;
  gid_t gid = options->has_owner ? options->gid : is_file ? old.st_gid : 0;
  // The mode last, because a change of the owner clears some of its bits.
  if (fchown(writing.fd, uid, gid) < 0 || fchmod(writing.fd, mode) < 0) fail(path);
  struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, options->mtime};
  if (options->has_mtime && futimens(writing.fd, times) < 0) fail(path);
  // The condition is for the moment of the change.
  exists = look_at_old(&place, path, &old);
  describe_check_conditions(exists ? &old : NULL, false, path);
  if (!replace_finish(&writing, place.name, options->syncs)) fail(path);
  answer_facts(exists ? 200 : 201, exists ? "OK" : "Created", &place);
}

void change_make_directory(int root, const struct file_options *options) {
  struct file_place place;
  struct stat facts;
  find(root, options, true, &place);
  bool made = mkdirat(place.parent, place.name, NEW_DIRECTORY_MODE) == 0;
  if (!made && (errno != EEXIST || !options->parents)) fail(options->path);
  int fd = place_open(root, options->path, O_RDONLY | O_DIRECTORY);
  if (fd < 0 || fstat(fd, &facts) < 0) fail(options->path);
  // A directory that was there stays as it is.
  if (made && options->has_owner && fchown(fd, options->uid, options->gid) < 0) fail(options->path);
  if (made && fchmod(fd, options->has_mode ? options->mode : NEW_DIRECTORY_MODE) < 0) fail(options->path);
  if (made && options->syncs && fsync(fd) < 0) fail(options->path);
  answer_facts(made ? 201 : 200, made ? "Created" : "OK", &place);
}

static void set_facts(const struct file_place *place, const struct stat *facts, const struct file_options *options) {
  const char *path = options->path;
  if (options->has_owner && fchownat(place->parent, place->name, options->uid, options->gid, AT_SYMLINK_NOFOLLOW) < 0) {
    fail(path);
  }
  if (options->has_mode) {
    // A link has no mode of its own.
    if (S_ISLNK(facts->st_mode)) exchange_fail(409, "FILE_TYPE_CONFLICT", path, "this is a link");
    if (fchmodat(place->parent, place->name, options->mode, 0) < 0) fail(path);
  }
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, options->mtime};
  if (options->has_mtime && utimensat(place->parent, place->name, times, AT_SYMLINK_NOFOLLOW) < 0) fail(path);
}

void change_set(int root, const struct file_options *options) {
  struct file_place from, to;
  struct stat facts;
  const char *path = options->path;
  bool renames = options->to[0] != '\0';
  // A rename is of the link itself, as everywhere.
  if (!place_find(root, path, options->follows && !renames, &from)) fail(path);
  if (fstatat(from.parent, from.name, &facts, AT_SYMLINK_NOFOLLOW) < 0) fail(path);
  describe_check_conditions(&facts, false, path);
  if (renames) {
    if (options->parents && !place_make_parents(root, options->to)) fail(options->to);
    if (!place_find(root, options->to, false, &to)) fail(options->to);
  }
  set_facts(&from, &facts, options);
  if (!renames) answer_facts(200, "OK", &from);
  unsigned flags = options->replaces ? 0 : RENAME_NOREPLACE;
  if (syscall(SYS_renameat2, from.parent, from.name, to.parent, to.name, flags) < 0) fail(options->to);
  answer_facts(200, "OK", &to);
}

static void delete_below(int parent, const char *name, int depth);

// Deletes a name, with what is below it.
static void delete_name(int parent, const char *name, bool is_directory, int depth) {
  if (is_directory) delete_below(parent, name, depth);
  if (unlinkat(parent, name, is_directory ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT) fail(name);
}

static void delete_below(int parent, const char *name, int depth) {
  if (depth == DEPTH_MAX) exchange_fail(409, "FILE_TYPE_CONFLICT", name, "the tree has too many levels");
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) fail(name);
  struct dirent *entry;
  while (errno = 0, (entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    struct stat facts;
    if (fstatat(fd, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) < 0) {
      if (errno != ENOENT) fail(entry->d_name);
      continue;
    }
    delete_name(fd, entry->d_name, S_ISDIR(facts.st_mode), depth + 1);
  }
  if (errno != 0) fail(name);
  closedir(directory);
}

void change_delete(int root, const struct file_options *options) {
  struct file_place place;
  struct stat facts;
  const char *path = options->path;
  if (!place_find(root, path, false, &place)) fail(path);
  if (fstatat(place.parent, place.name, &facts, AT_SYMLINK_NOFOLLOW) < 0) fail(path);
  if (strcmp(place.name, ".") == 0) exchange_fail(409, "FILE_TYPE_CONFLICT", NULL, "the root directory cannot be deleted");
  describe_check_conditions(&facts, false, path);
  bool is_directory = S_ISDIR(facts.st_mode);
  if (is_directory && options->recursive) delete_below(place.parent, place.name, 0);
  if (unlinkat(place.parent, place.name, is_directory ? AT_REMOVEDIR : 0) < 0) fail(path);
  exchange_answer(204, "No Content", "text/plain", "");
}
