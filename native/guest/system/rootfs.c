// guest: the switch from the initramfs to a root disk: waits for the disk, mounts it, makes it the root directory.
#include "system/rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/say.h"
#include "system/cmdline.h"
#include "system/filesystem.h"

#define NEW_ROOT "/newroot"
#define WAIT_EVERY_MS 20
#define WAIT_TIMEOUT_MS 10000
#define DEPTH_MAX 64
// linux/magic.h
#define RAMFS 0x858458f6
#define TMPFS 0x01021994

// ---- the disk

// Accepts vda, vda1 and /dev/vda. A path below another directory is refused.
static bool device_path(const char *given, char *path, size_t size) {
  const char *name = strncmp(given, "/dev/", 5) == 0 ? given + 5 : given;
  if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) return false;
  return snprintf(path, size, "/dev/%s", name) < (int)size;
}

static bool wait_for_device(const char *path) {
  int64_t deadline = now_ms() + WAIT_TIMEOUT_MS;
  struct stat found;
  while (stat(path, &found) < 0 || !S_ISBLK(found.st_mode)) {
    if (now_ms() >= deadline) return false;
    usleep(WAIT_EVERY_MS * 1000);
  }
  return true;
}

static bool mount_root(char *why, size_t size) {
  char path[64], reason[128];
  const char *device = cmdline_value("volant.rootfs_device");
  const struct mount_options options = {cmdline_value("volant.rootfs_fstype"), cmdline_has("ro")};
  if (device == NULL || !device_path(device, path, sizeof path)) {
    snprintf(why, size, "volant.boot=rootfs needs volant.rootfs_device with a name as vda");
    return false;
  }
  if (!wait_for_device(path)) {
    snprintf(why, size, "the root disk %.20s has not appeared in %d s", path, WAIT_TIMEOUT_MS / 1000);
    return false;
  }
  mkdir(NEW_ROOT, 0755);
  if (filesystem_mount(path, NEW_ROOT, &options, reason, sizeof reason)) return true;
  snprintf(why, size, "the root disk %.20s cannot be mounted: %s", path, reason);
  return false;
}

// ---- the switch

static void take_mount(const char *name, bool back) {
  char inside[64];
  snprintf(inside, sizeof inside, NEW_ROOT "%s", name);
  const char *from = back ? inside : name, *to = back ? name : inside;
  if (!make_directories(to)) {
    say("the root disk has no %s, and it cannot be made: %s", name, strerror(errno));
  } else if (mount(from, to, NULL, MS_MOVE, NULL) < 0) {
    say("%s cannot be moved to %s: %s", from, to, strerror(errno));
  }
}

static void take_mounts(bool is_image, bool back) {
  static const char *const names[] = {"/dev", "/proc", "/sys"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) take_mount(names[i], back);
  // An image has what its program expects there, such as /run/postgresql with its owner.
  if (is_image) return;
  take_mount("/run", back);
  // An init decides itself about /tmp, which may be on the disk.
  if (cmdline_value("init") == NULL) take_mount("/tmp", back);
}

// Deletes the files of the initramfs to free their memory. Does not enter other file systems.
static void empty_directory(int fd, dev_t device, int depth) {
  DIR *directory = fdopendir(fd);
  if (directory == NULL) {
    close(fd);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    const char *name = entry->d_name;
    struct stat found;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (fstatat(fd, name, &found, AT_SYMLINK_NOFOLLOW) < 0 || found.st_dev != device) continue;
    bool below = S_ISDIR(found.st_mode);
    if (below && depth < DEPTH_MAX) {
      int inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner >= 0) empty_directory(inner, device, depth + 1);
    }
    unlinkat(fd, name, below ? AT_REMOVEDIR : 0);
  }
  closedir(directory);
}

static void free_initramfs(int fd) {
  struct stat root;
  struct statfs system;
  bool known = fstat(fd, &root) == 0 && fstatfs(fd, &system) == 0;
  // Deletes from file systems in memory only, never from a disk.
  if (known && ((unsigned long)system.f_type == RAMFS || (unsigned long)system.f_type == TMPFS)) {
    empty_directory(fd, root.st_dev, 0);
  } else {
    close(fd);
  }
}

bool rootfs_enter(char *why, size_t size) {
  if (!mount_root(why, size)) return false;
  int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool is_image = access(NEW_ROOT "/" IMAGE_SETTINGS_FILE, F_OK) == 0;
  take_mounts(is_image, false);
  if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
    snprintf(why, size, "the root disk cannot become the root directory: %s", strerror(errno));
    take_mounts(is_image, true);
    if (old >= 0) close(old);
    return false;
  }
  if (chdir("/") < 0) say("cannot enter the root disk: %s", strerror(errno));
  if (old >= 0) free_initramfs(old);
  return true;
}
