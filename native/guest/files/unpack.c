// guest: an archive that becomes files below a directory. Nothing is written outside of it, whatever the archive says.
#include "files/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files/describe.h"
#include "files/exchange.h"
#include "files/place.h"
#include "files/replace.h"
#include "files/tar_stream.h"

#define ATTRIBUTE_PREFIX "SCHILY.xattr."
#define ATTRIBUTE_VALUE_BYTES_MAX 65536
// Directories whose time is set when all that is in them is there.
#define OPEN_DIRECTORIES_MAX 128

static struct tar_stream archive;
static const struct file_options *options;
static int directory = -1;
// The directory is the root itself, so that links in it may be absolute.
static bool is_root;
static struct new_file writing = {.fd = -1};

// The directory of the entry before, because the next one is often there, too. -1: none.
static int parent = -1;
static char parent_path[TAR_PATH_BYTES];

static struct {
  size_t length;  // of `late_path`
  struct timespec mtime;
} late[OPEN_DIRECTORIES_MAX];
static int late_count;
static char late_path[TAR_PATH_BYTES];

static void abandon(void) {
  replace_abandon(&writing);
}

__attribute__((noreturn)) static void fail(void) {
  exchange_fail_errno(errno, archive.entry.path);
}

static int open_below(const char *path, int flags) {
  return is_root ? place_open(directory, path, flags) : place_open_beneath(directory, path, flags);
}

static void forget_parent(void) {
  if (parent >= 0) close(parent);
  parent = -1;
}

// Opens a directory below, and makes what is missing of it.
static int open_directory(char *path) {
  int fd = open_below(path, O_PATH | O_DIRECTORY);
  if (fd >= 0 || errno != ENOENT) return fd;
  for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
    if (slash != NULL) *slash = '\0';
    char above[TAR_PATH_BYTES];
    fd = open_below(path, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT) {
      const char *name = place_split(path, above);
      int at = open_below(above, O_PATH | O_DIRECTORY);
      if (at < 0 || (mkdirat(at, name, 0755) < 0 && errno != EEXIST)) fail();
      close(at);
      fd = open_below(path, O_PATH | O_DIRECTORY);
    }
    if (fd < 0 || slash == NULL) return fd;
    close(fd);
    *slash = '/';
  }
}

// Sets `parent` to the directory of the entry. Returns its name there.
static const char *find_parent(void) {
  static char copy[TAR_PATH_BYTES], above[TAR_PATH_BYTES];
  strcpy(copy, archive.entry.path);
  const char *name = place_split(copy, above);
  if (parent >= 0 && strcmp(above, parent_path) == 0) return name;
  forget_parent();
  strcpy(parent_path, above);
  // It has a slash at its end, which is removed.
  if (above[0] != '\0') above[strlen(above) - 1] = '\0';
  parent = open_directory(above);
  if (parent < 0) fail();
  return name;
}

// ---- facts

static uid_t owner_of_entry(void) {
  return options->keeps_owners ? (uid_t)archive.entry.uid : options->has_owner ? options->uid : 0;
}

static gid_t group_of_entry(void) {
  return options->keeps_owners ? (gid_t)archive.entry.gid : options->has_owner ? options->gid : 0;
}

// Without the owners of the archive its programs do not run as another user either.
static mode_t mode_of_entry(void) {
  return options->keeps_owners ? archive.entry.mode : archive.entry.mode & (mode_t)~(S_ISUID | S_ISGID);
}

// Attributes that the file system does not know are left out.
static void set_attributes(int fd) {
  struct tar_record record;
  size_t at = 0, prefix = strlen(ATTRIBUTE_PREFIX);
  bool malformed;
  while (tar_next_record(&archive.records, &at, &record, &malformed)) {
    if (strncmp(record.name, ATTRIBUTE_PREFIX, prefix) != 0 || record.length > ATTRIBUTE_VALUE_BYTES_MAX) continue;
    const char *name = record.name + prefix;
    // Others than those of users are rights.
    if (!options->keeps_owners && strncmp(name, "user.", 5) != 0) continue;
    if (fsetxattr(fd, name, record.value, record.length, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM) fail();
  }
}

static void set_facts(int fd) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, archive.entry.mtime};
  // The mode after the owner, because a change of the owner clears some of its bits.
  if (fchown(fd, owner_of_entry(), group_of_entry()) < 0 || fchmod(fd, mode_of_entry()) < 0) fail();
  set_attributes(fd);
  if (futimens(fd, times) < 0) fail();
}

// For what is not opened.
static void set_facts_of_name(const char *name) {
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, archive.entry.mtime};
  if (fchownat(parent, name, owner_of_entry(), group_of_entry(), AT_SYMLINK_NOFOLLOW) < 0) fail();
  if (archive.entry.type != TAR_LINK && fchmodat(parent, name, mode_of_entry(), 0) < 0) fail();
  if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0) fail();
}

// ---- times of directories

static bool is_inside(const char *path, size_t length) {
  return strncmp(path, late_path, length) == 0 && (path[length] == '/' || length == 0);
}

static void set_time_of_last(void) {
  late_path[late[--late_count].length] = '\0';
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, late[late_count].mtime};
  int fd = open_below(late_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  // A later entry may have put something else in its place.
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return;
  if (fd < 0 || futimens(fd, times) < 0) fail();
  close(fd);
}

// Sets the times of the directories that the path is not in.
static void leave_directories(const char *path) {
  while (late_count > 0 && (path == NULL || !is_inside(path, late[late_count - 1].length))) set_time_of_last();
}

static void enter_directory(void) {
  if (late_count == OPEN_DIRECTORIES_MAX) return;
  strcpy(late_path, archive.entry.path);
  late[late_count].length = strlen(late_path);
  late[late_count++].mtime = archive.entry.mtime;
}

// ---- entries

static void unpack_file(const char *name) {
  static char piece[PIECE_BYTES];
  struct stat old;
  size_t length;
  if (fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(old.st_mode)) {
    errno = EISDIR;
    fail();
  }
  if (!replace_begin(&writing, parent)) fail();
  while ((length = tar_read(&archive, piece, sizeof piece)) > 0) {
    for (size_t at = 0; at < length;) {
      ssize_t count = write(writing.fd, piece + at, length - at);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail();
      at += (size_t)count;
    }
  }
  if (archive.problem != NULL) return abandon();
  set_facts(writing.fd);
  if (!replace_finish(&writing, name, false)) fail();
}

static void unpack_directory(const char *name) {
  struct stat old;
  bool made = mkdirat(parent, name, 0700) == 0;
  if (!made && errno != EEXIST) fail();
  if (!made && fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) < 0) fail();
  // A link to a directory stays, as long as it does not lead out.
  bool is_link = !made && S_ISLNK(old.st_mode);
  int fd = open_below(archive.entry.path, O_RDONLY | O_DIRECTORY | (is_link ? 0 : O_NOFOLLOW));
  if (fd < 0) fail();
  if (!is_link) {
    set_facts(fd);
    enter_directory();
  }
  close(fd);
}

// Removes what is in the place of a name that is no directory.
static void make_room(const char *name) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return;
  if (errno == EPERM) errno = EISDIR;
  fail();
}

static void unpack_hard_link(const char *name) {
  static char target[TAR_PATH_BYTES], above[TAR_PATH_BYTES];
  if (strcmp(archive.entry.path, archive.entry.target) == 0) return;
  strcpy(target, archive.entry.target);
  const char *target_name = place_split(target, above);
  int from = open_below(above, O_PATH | O_DIRECTORY);
  if (from < 0) fail();
  make_room(name);
  if (linkat(from, target_name, parent, name, 0) < 0) fail();
  close(from);
}

static void unpack_special(const char *name) {
  const struct tar_entry *entry = &archive.entry;
  mode_t type = entry->type == TAR_FIFO ? S_IFIFO : entry->type == TAR_BLOCK ? S_IFBLK : S_IFCHR;
  make_room(name);
  dev_t device = entry->type == TAR_FIFO ? 0 : makedev(entry->major, entry->minor);
  if (mknodat(parent, name, type | 0600, device) < 0) fail();
  set_facts_of_name(name);
}

static void unpack_entry(void) {
  // The directory itself stays as it is.
  if (archive.entry.path[0] == '\0') return;
  leave_directories(archive.entry.path);
  const char *name = find_parent();
  switch (archive.entry.type) {
    case TAR_FILE:
      return unpack_file(name);
    case TAR_DIRECTORY:
      return unpack_directory(name);
    case TAR_LINK:
      make_room(name);
      if (symlinkat(archive.entry.target, parent, name) < 0) fail();
      set_facts_of_name(name);
      break;
    case TAR_HARD_LINK:
      return unpack_hard_link(name);
    case TAR_CHARACTER:
    case TAR_BLOCK:
    case TAR_FIFO:
      unpack_special(name);
      break;
    default:
      exchange_fail(400, "TAR_INVALID", archive.entry.path, "the archive has an entry of an unknown type");
  }
  // A path may lead elsewhere now.
  forget_parent();
}

static int open_target(int root) {
  static char copy[FILE_PATH_BYTES + 2];
  // With one more segment the directory itself is made, too.
  snprintf(copy, sizeof copy, "%s/.", options->path);
  if (options->parents && options->path[0] != '\0' && !place_make_parents(root, copy)) return -1;
  return place_open(root, options->path, O_RDONLY | O_DIRECTORY);
}

void unpack_serve(int root, const struct file_options *given) {
  static char body[DESCRIPTION_BYTES], copy[FILE_PATH_BYTES], above[FILE_PATH_BYTES];
  struct stat facts;
  long long entries = 0, bytes = 0;
  options = given;
  archive.read = exchange_read;
  directory = open_target(root);
  if (directory < 0) exchange_fail_errno(errno, options->path);
  is_root = options->path[0] == '\0';
  exchange_on_failure(abandon);
  while (tar_next(&archive)) {
    entries++;
    bytes += archive.entry.size;
    unpack_entry();
    if (archive.problem != NULL) break;
  }
  if (archive.problem != NULL) exchange_fail(400, "TAR_INVALID", archive.entry.path, archive.problem);
  leave_directories(NULL);
  // What follows the end of an archive is padding.
  while (exchange_read(body, sizeof body) > 0) continue;
  if (options->syncs && syncfs(directory) < 0) exchange_fail_errno(errno, options->path);
  if (fstat(directory, &facts) < 0) exchange_fail_errno(errno, options->path);
  strcpy(copy, options->path);
  const char *name = place_split(copy, above);
  size_t length = describe_json(body, sizeof body, name[0] == '\0' ? "/" : name, &facts, NULL) - 1;
  snprintf(body + length, sizeof body - length, ",\"unpacked\":{\"entries\":%lld,\"bytes\":%lld}}", entries, bytes);
  describe_headers(&facts);
  exchange_answer(200, "OK", "application/json", body);
}
