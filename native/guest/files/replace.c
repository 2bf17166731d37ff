// guest: a new file in the place of another one, in one step: a reader of the name sees the old file or the new one, whole.
#include "files/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TRIES_MAX 8

static void make_name(struct new_file *file) {
  unsigned long long number = 0;
  // Before the kernel has entropy the number is that of the process: names are tried until one is free.
  if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number) {
    static unsigned count;
    number = (unsigned long long)getpid() << 32 | count++;
  }
  snprintf(file->name, sizeof file->name, ".volant-%016llx", number);
}

static bool begin_with_name(struct new_file *file) {
  for (int i = 0; i < TRIES_MAX; i++) {
    make_name(file);
    file->fd = openat(file->parent, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file->fd >= 0) return true;
    if (errno != EEXIST) break;
  }
  file->name[0] = '\0';
  return false;
}

bool replace_begin(struct new_file *file, int parent) {
  *file = (struct new_file){.parent = parent};
  // A file without a name is gone with its process, whatever ends it.
  file->fd = openat(parent, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
  if (file->fd >= 0) return true;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) return false;
  return begin_with_name(file);
}

static bool give_name(struct new_file *file) {
  for (int i = 0; i < TRIES_MAX; i++) {
    make_name(file);
    if (linkat(file->fd, "", file->parent, file->name, AT_EMPTY_PATH) == 0) return true;
    if (errno != EEXIST) break;
  }
  file->name[0] = '\0';
  return false;
}

static bool sync_directory(int parent) {
  int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  int result = fsync(fd);
  int why = errno;
  close(fd);
  errno = why;
  return result == 0;
}

bool replace_finish(struct new_file *file, const char *name, bool syncs) {
  bool done = (!syncs || fsync(file->fd) == 0) && (file->name[0] != '\0' || give_name(file)) &&
              renameat(file->parent, file->name, file->parent, name) == 0;
  if (!done) {
    int why = errno;
    replace_abandon(file);
    errno = why;
    return false;
  }
  file->name[0] = '\0';
  // Some file systems say here that there is no space.
  bool closed = close(file->fd) == 0;
  file->fd = -1;
  return closed && (!syncs || sync_directory(file->parent));
}

void replace_abandon(struct new_file *file) {
  if (file->name[0] != '\0') unlinkat(file->parent, file->name, 0);
  file->name[0] = '\0';
  if (file->fd >= 0) close(file->fd);
  file->fd = -1;
}
