// guest: the first steps of process 1: kernel file systems and kernel modules.
#include "system/boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/console.h"
#include "base/say.h"

#define MODULES_MAX 64

static void mount_at(const char *type, const char *path, unsigned long flags, const char *options) {
  mkdir(path, 0755);
  // EBUSY: the kernel or an earlier program has mounted it already.
  if (mount(type, path, type, flags, options) < 0 && errno != EBUSY) {
    say("cannot mount %s on %s: %s", type, path, strerror(errno));
  }
}

void boot_mount(void) {
  mount_at("devtmpfs", "/dev", MS_NOSUID, NULL);
  console_open();
  mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620");
  mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
  mount_at("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void load_module(const char *name) {
  char path[512];
  snprintf(path, sizeof path, "/mods/%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  // EEXIST: the module is built into this kernel or loaded already.
  if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) {
    say("cannot load module %s: %s", name, strerror(errno));
  }
  close(fd);
}

void boot_load_modules(void) {
  DIR *directory = opendir("/mods");
  if (directory == NULL) return;
  char *names[MODULES_MAX];
  size_t count = 0;
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL && count < MODULES_MAX) {
    if (entry->d_name[0] != '.') names[count++] = strdup(entry->d_name);
  }
  closedir(directory);
  // The names begin with a number that puts dependencies first.
  qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < count; i++) {
    load_module(names[i]);
    free(names[i]);
  }
}
