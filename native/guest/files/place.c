// guest: where a path leads, with every link resolved inside of a root directory. The kernel does it, by openat2.
#include "files/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files/options.h"

#define LINKS_MAX 40
// The kernel gives up where somebody renames directories meanwhile.
#define TRIES_MAX 32

static int open_by(int directory, const char *path, int flags, unsigned long long resolve) {
  struct open_how how = {.flags = (unsigned long long)flags | O_CLOEXEC, .resolve = resolve};
  int fd = -1;
  for (int i = 0; i < TRIES_MAX; i++) {
    fd = (int)syscall(SYS_openat2, directory, path[0] == '\0' ? "." : path, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return fd;
}

int place_open_root(const char *path) {
  return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int place_open(int root, const char *path, int flags) {
  return open_by(root, path, flags, RESOLVE_IN_ROOT);
}

int place_open_beneath(int directory, const char *path, int flags) {
  return open_by(directory, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int place_open_readable(int root, const char *path, bool follows, struct stat *facts) {
  int link = follows ? 0 : O_NOFOLLOW;
  int fd = place_open(root, path, O_PATH | link);
  if (fd < 0 || fstat(fd, facts) < 0) return fd;
  if (!S_ISREG(facts->st_mode) && !S_ISDIR(facts->st_mode)) return fd;
  struct stat opened;
  // Nonblocking, in case it is another file by now.
  int readable = place_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | link);
  int why = errno;
  close(fd);
  if (readable < 0 || fstat(readable, &opened) < 0) {
    errno = why;
    return readable;
  }
  if (S_ISREG(opened.st_mode) || S_ISDIR(opened.st_mode)) {
    *facts = opened;
    return readable;
  }
  close(readable);
  errno = EAGAIN;
  return -1;
}

const char *place_split(char *path, char *directory) {
  size_t length = strlen(path);
  while (length > 0 && path[length - 1] == '/') path[--length] = '\0';
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  memcpy(directory, path, (size_t)(name - path));
  directory[name - path] = '\0';
  return name;
}

static bool is_dots(const char *name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool found(struct file_place *place, int parent, const char *name) {
  if (parent < 0) return false;
  if (strlen(name) >= sizeof place->name) {
    close(parent);
    errno = ENAMETOOLONG;
    return false;
  }
  place->parent = parent;
  strcpy(place->name, name);
  return true;
}

bool place_find(int root, const char *path, bool follows, struct file_place *place) {
  static char current[2 * FILE_PATH_BYTES], directory[2 * FILE_PATH_BYTES], target[FILE_PATH_BYTES];
  if (strlen(path) >= sizeof target) return errno = ENAMETOOLONG, false;
  strcpy(current, path);
  for (int i = 0; i < LINKS_MAX; i++) {
    const char *name = place_split(current, directory);
    bool whole = name[0] == '\0' || is_dots(name);
    int parent = place_open(root, whole ? current : directory, O_PATH | O_DIRECTORY);
    if (whole) return found(place, parent, ".");
    if (parent < 0) return false;
    ssize_t length = follows ? readlinkat(parent, name, target, sizeof target - 1) : -1;
    if (length < 0) return found(place, parent, name);
    close(parent);
    target[length] = '\0';
    size_t before = target[0] == '/' ? 0 : strlen(directory);
    if (before + (size_t)length >= sizeof target) return errno = ENAMETOOLONG, false;
    memcpy(current, directory, before);
    strcpy(current + before, target + (target[0] == '/' ? strspn(target, "/") : 0));
  }
  errno = ELOOP;
  return false;
}

bool place_make_parents(int root, const char *path) {
  static char made[FILE_PATH_BYTES];
  if (strlen(path) >= sizeof made) return errno = ENAMETOOLONG, false;
  strcpy(made, path);
  size_t length = strlen(made);
  while (length > 0 && made[length - 1] == '/') made[--length] = '\0';
  for (char *slash = strchr(made, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    struct file_place place;
    // A directory that is there may be a link to one.
    int known = place_open(root, made, O_PATH | O_DIRECTORY);
    if (known >= 0) {
      close(known);
    } else {
      if (errno != ENOENT || !place_find(root, made, true, &place)) return false;
      int result = mkdirat(place.parent, place.name, 0755);
      int why = errno;
      close(place.parent);
      if (result < 0 && why != EEXIST) return errno = why, false;
    }
    *slash = '/';
  }
  return true;
}
