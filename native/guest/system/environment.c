// guest: what programs expect of their environment, as in a container: links, file systems, limits, and a score for the
// kernel's OOM killer. docs/agent.md lists it in a table, and a test compares the two.
#include "system/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/say.h"

// systemd's hard limit. With the kernel's own limit, programs that close all possible descriptors take long.
#define FILES_HARD 524288
#define FILES_SOFT 65536
#define OOM_SCORE "/proc/self/oom_score_adj"

static void link_at(const char *target, const char *path) {
  // Something that exists already belongs to the image.
  if (symlink(target, path) < 0 && errno != EEXIST && errno != EROFS) {
    say("cannot make %s: %s", path, strerror(errno));
  }
}

// Mounts a file system that a kernel may be built without.
static void mount_if_known(const char *type, const char *path) {
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  bool is_absent = mkdir(path, 0755) < 0 && errno != EEXIST;
  if (is_absent || mount(type, path, type, flags, NULL) == 0) return;
  if (errno != ENODEV && errno != EBUSY) say("cannot mount %s on %s: %s", type, path, strerror(errno));
}

// Without this file glibc asks the name servers before /etc/hosts, and "localhost" is unknown.
static void make_name_order(void) {
  const char *path = "/etc/nsswitch.conf";
  if (access(path, F_OK) < 0 && !write_file(path, "hosts: files dns\n")) {
    say("cannot write %s: %s", path, strerror(errno));
  }
}

void environment_make(void) {
  link_at("/proc/self/fd", "/dev/fd");
  link_at("/proc/self/fd/0", "/dev/stdin");
  link_at("/proc/self/fd/1", "/dev/stdout");
  link_at("/proc/self/fd/2", "/dev/stderr");
  link_at("/proc/self/mounts", "/etc/mtab");
  mount_if_known("mqueue", "/dev/mqueue");
  mount_if_known("cgroup2", "/sys/fs/cgroup");
  make_name_order();
}

void environment_protect_agent(void) {
  if (!write_file(OOM_SCORE, "-1000")) say("cannot write " OOM_SCORE ": %s", strerror(errno));
}

void environment_of_workload(void) {
  const struct rlimit files = {FILES_SOFT, FILES_HARD};
  // kernel.threads-max remains the limit for processes.
  const struct rlimit processes = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_NOFILE, &files);
  setrlimit(RLIMIT_NPROC, &processes);
  write_file(OOM_SCORE, "0");
  umask(022);
}
