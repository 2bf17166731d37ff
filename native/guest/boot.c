// guest: the first steps of PID 1: file systems, console, kernel modules.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

#define MODULES_MAX 64
// What waits for a slow serial line; when it is full the workload's pipes are not read any further.
#define CONSOLE_QUEUE_BYTES 65536
#define FLUSH_TIMEOUT_MS 500

static int console_fd = -1;
static struct source console_source;
static bool console_watched;
static char queue[CONSOLE_QUEUE_BYTES];
static size_t queued;

static void mount_at(const char *type, const char *path, unsigned long flags, const char *options) {
  mkdir(path, 0755);
  // EBUSY: the kernel or an earlier stage has mounted it already.
  if (mount(type, path, type, flags, options) < 0 && errno != EBUSY) {
    say("cannot mount %s on %s: %s", type, path, strerror(errno));
  }
}

static void open_console(void) {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  if (fd >= 0) {
    for (int target = 0; target <= 2; target++) dup2(fd, target);
    if (fd > 2) close(fd);
  }
  // A second description of its own: non-blocking belongs to the description, and the workload's
  // programs expect a console that blocks.
  console_fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

void boot_mount(void) {
  mount_at("devtmpfs", "/dev", MS_NOSUID, NULL);
  open_console();
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
  // EEXIST: built into this kernel or loaded already.
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
  // Their names begin with a number: dependencies come first.
  qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < count; i++) {
    load_module(names[i]);
    free(names[i]);
  }
}

static void drain_console(void *context, uint32_t events) {
  (void)context;
  (void)events;
  ssize_t count = write(console_fd, queue, queued);
  if (count > 0) {
    queued -= (size_t)count;
    memmove(queue, queue + count, queued);
  } else if (count < 0 && errno != EAGAIN) {
    // Somebody hung the terminal up. What it would have shown is lost; nothing else waits for it.
    queued = 0;
  }
  if (queued > 0) return;
  loop_remove(&console_source);
  console_watched = false;
}

bool console_write(const char *text, size_t length) {
  if (console_fd < 0) return true;
  if (queued == 0) {
    ssize_t count = write(console_fd, text, length);
    if (count > 0) {
      text += count;
      length -= (size_t)count;
    }
  }
  if (length == 0) return true;
  if (length > sizeof queue - queued) return false;
  memcpy(queue + queued, text, length);
  queued += length;
  if (!console_watched) {
    loop_add(&console_source, console_fd, EPOLLOUT, drain_console, NULL);
    console_watched = true;
  }
  return true;
}

bool console_has_room(void) {
  return queued < sizeof queue / 2;
}

void console_flush(void) {
  struct pollfd console = {.fd = console_fd, .events = POLLOUT};
  while (queued > 0 && poll(&console, 1, FLUSH_TIMEOUT_MS) > 0) drain_console(NULL, 0);
}
