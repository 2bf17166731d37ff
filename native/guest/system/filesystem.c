// guest: file systems on block devices: detection, mounting, and a clean state at the end.
#include "system/filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/manifest_limits.h"
#include "base/say.h"

#define DEVICES_OF_DISKS "/dev/"

struct magic {
  const char *type;
  off_t offset;
  const char *bytes;
  size_t length;
};

// The first match counts. FAT comes last, because others have a boot sector like it.
static const struct magic magics[] = {
    // ext2 and ext3 as well. The driver for ext4 reads them, and many kernels know no other name.
    {"ext4", 1080, "\x53\xef", 2},
    {"xfs", 0, "XFSB", 4},
    {"btrfs", 65600, "_BHRfS_M", 8},
    {"squashfs", 0, "hsqs", 4},
    {"erofs", 1024, "\xe2\xe1\xf5\xe0", 4},
    {"iso9660", 32769, "CD001", 5},
    {"vfat", 82, "FAT32   ", 8},
    {"vfat", 54, "FAT16   ", 8},
    {"vfat", 54, "FAT12   ", 8},
};

// Partition tables. On such a disk the file systems are in partitions.
static const struct magic tables[] = {
    {"GPT", 512, "EFI PART", 8},
    {"MBR", 510, "\x55\xaa", 2},
};

static const char *match(int fd, const struct magic *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    char found[8];
    ssize_t length = pread(fd, found, list[i].length, list[i].offset);
    if (length != (ssize_t)list[i].length) continue;
    if (memcmp(found, list[i].bytes, list[i].length) == 0) return list[i].type;
  }
  return NULL;
}

const char *filesystem_probe(const char *device, char *why, size_t size) {
  int fd = open(device, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    snprintf(why, size, "%s", strerror(errno));
    return NULL;
  }
  const char *type = match(fd, magics, sizeof magics / sizeof *magics);
  const char *table = match(fd, tables, sizeof tables / sizeof *tables);
  close(fd);
  if (type != NULL) return type;
  if (table != NULL) snprintf(why, size, "it is divided into partitions (%s)", table);
  else snprintf(why, size, "it has no file system that is known");
  return NULL;
}

static bool device_is_readonly(const char *device) {
  const char *slash = strrchr(device, '/');
  char path[128], value[8];
  snprintf(path, sizeof path, "/sys/class/block/%.64s/ro", slash != NULL ? slash + 1 : device);
  return read_file(path, value, sizeof value) > 0 && value[0] == '1';
}

// Mounts a read-only disk that was not left clean, without replaying its journal.
static bool mount_without_journal(const char *device, const char *target, const char *type) {
  int why = errno;
  if (strcmp(type, "ext4") != 0 || (why != EROFS && why != EINVAL)) return false;
  if (mount(device, target, type, MS_RDONLY, "noload") == 0) {
    say("%s was not left clean and is read-only: its newest changes may be missing", device);
    return true;
  }
  errno = why;
  return false;
}

bool filesystem_mount(const char *device, const char *target, const struct mount_options *options,
                      char *why, size_t size) {
  const char *type = options->type;
  if (type == NULL && (type = filesystem_probe(device, why, size)) == NULL) return false;
  bool readonly = options->readonly || device_is_readonly(device);
  if (mount(device, target, type, readonly ? MS_RDONLY : 0, NULL) == 0) return true;
  if (device_is_readonly(device) && mount_without_journal(device, target, type)) return true;
  // The kernel's message, "No such device", would be misleading.
  if (errno == ENODEV) snprintf(why, size, "the kernel has no driver for %.32s", type);
  else snprintf(why, size, "%.32s: %s", type, strerror(errno));
  return false;
}

static bool is_directory(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

bool make_directories(const char *path) {
  char part[PATH_BYTES_MAX + 1];
  // Checked first, because mkdir on a read-only file system fails even if the directory exists.
  if (is_directory(path)) return true;
  if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part) {
    errno = ENAMETOOLONG;
    return false;
  }
  for (char *end = strchr(part + 1, '/'); end != NULL; end = strchr(end + 1, '/')) {
    *end = '\0';
    if (!is_directory(part) && mkdir(part, 0755) < 0) return false;
    *end = '/';
  }
  // The path may end with a slash.
  return is_directory(part) || mkdir(part, 0755) == 0;
}

void filesystem_release(void) {
  FILE *table = setmntent("/proc/self/mounts", "re");
  if (table == NULL) return;
  struct mntent *entry;
  while ((entry = getmntent(table)) != NULL) {
    if (strncmp(entry->mnt_fsname, DEVICES_OF_DISKS, strlen(DEVICES_OF_DISKS)) != 0) continue;
    if (hasmntopt(entry, "ro") != NULL) continue;
    // Remounted and not unmounted, because the root cannot be unmounted. Both leave it clean.
    if (mount(NULL, entry->mnt_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) {
      say("%s is still in use, and not left clean: %s", entry->mnt_dir, strerror(errno));
    }
  }
  endmntent(table);
}
