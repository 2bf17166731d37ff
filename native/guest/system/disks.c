// guest: the disks of the manifest: found by their serial numbers and mounted before the workload starts.
#include "system/disks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/loop.h"
#include "base/say.h"
#include "system/filesystem.h"

#define FIND_EVERY_MS 50
#define FIND_TIMEOUT_MS 5000
#define NAME_BYTES_MAX 64
// virtio-blk has 20 bytes for a serial number.
#define SERIAL_BYTES_MAX 64
#define LINKS_DIRECTORY "/dev/disk/by-id"

enum outcome { MOUNTED, MISSING, BROKEN };

// The next entry to mount, or NULL.
static const struct json *next_mount;
static disks_callback when_settled;
static int64_t deadline_ms;
static bool owns_dev;

static void step(void *context);

// ---- serials

// Returns false if the disk has no serial number.
static bool read_serial(const char *disk, char *serial, size_t size) {
  char path[128];
  snprintf(path, sizeof path, "/sys/block/%.64s/serial", disk);
  if (read_file(path, serial, size) <= 0) return false;
  serial[strcspn(serial, "\n")] = '\0';
  return serial[0] != '\0';
}

// The serial number comes from outside the guest. In a path its characters are limited to those that udev allows.
static void link_disk(const char *disk, const char *serial) {
  char path[160], target[96], safe[SERIAL_BYTES_MAX];
  snprintf(safe, sizeof safe, "%s", serial);
  for (char *c = safe; *c != '\0'; c++) {
    if (!isalnum((unsigned char)*c) && strchr("#+-.:=@_", *c) == NULL) *c = '_';
  }
  snprintf(path, sizeof path, LINKS_DIRECTORY "/virtio-%s", safe);
  snprintf(target, sizeof target, "../../%.64s", disk);
  if (symlink(target, path) < 0 && errno != EEXIST) say("cannot make %s: %s", path, strerror(errno));
}

// Finds the name of the disk with a serial number. If `wanted` is NULL, makes a link for each disk and finds none.
static bool walk_disks(const char *wanted, char *name, size_t size) {
  DIR *directory = opendir("/sys/block");
  if (directory == NULL) return false;
  bool found = false;
  struct dirent *entry;
  while (!found && (entry = readdir(directory)) != NULL) {
    char serial[SERIAL_BYTES_MAX];
    if (entry->d_name[0] == '.' || !read_serial(entry->d_name, serial, sizeof serial)) continue;
    if (wanted == NULL) link_disk(entry->d_name, serial);
    else if (strcmp(serial, wanted) == 0) found = true;
    if (found) snprintf(name, size, "%.63s", entry->d_name);
  }
  closedir(directory);
  return found;
}

static void link_all(void) {
  walk_disks(NULL, NULL, 0);
}

void disks_own_dev(void) {
  owns_dev = make_directories(LINKS_DIRECTORY);
  if (owns_dev) link_all();
  else say("cannot make " LINKS_DIRECTORY ": %s", strerror(errno));
}

// ---- mounts

static bool is_true(const struct json *value) {
  return value != NULL && value->type == JSON_BOOL && value->number != 0;
}

static enum outcome mount_disk(const char *serial, const char *target,
                               const struct mount_options *options, char *why, size_t size) {
  char name[NAME_BYTES_MAX], device[NAME_BYTES_MAX + 8];
  if (!walk_disks(serial, name, sizeof name)) {
    snprintf(why, size, "there is no such disk");
    return MISSING;
  }
  snprintf(device, sizeof device, "/dev/%s", name);
  if (!make_directories(target)) {
    snprintf(why, size, "no such directory can be made: %s", strerror(errno));
    return BROKEN;
  }
  return filesystem_mount(device, target, options, why, size) ? MOUNTED : BROKEN;
}

static enum outcome try_mount(const struct json *mount, char *sentence, size_t size) {
  const char *serial = json_text(mount, "serial", "");
  const char *target = json_text(mount, "target", "");
  const struct mount_options options = {json_text(mount, "fstype", NULL),
                                        is_true(json_member(mount, "readonly"))};
  if (serial[0] == '\0' || target[0] != '/') {
    snprintf(sentence, size, "a mount of the manifest needs a serial and an absolute target");
    return BROKEN;
  }
  char why[128];
  enum outcome outcome = mount_disk(serial, target, &options, why, sizeof why);
  if (outcome != MOUNTED) {
    snprintf(sentence, size, "disk %.20s cannot be mounted at %.40s: %s", serial, target, why);
  }
  return outcome;
}

static void settle(const char *why) {
  next_mount = NULL;
  loop_cancel(step, NULL);
  // Disks may have appeared since the links were made.
  if (owns_dev) link_all();
  when_settled(why);
}

static void step(void *context) {
  char sentence[256];
  (void)context;
  while (next_mount != NULL) {
    enum outcome outcome = try_mount(next_mount, sentence, sizeof sentence);
    if (outcome == MISSING && now_ms() < deadline_ms) {
      loop_timer(FIND_EVERY_MS, step, NULL);
      return;
    }
    if (outcome != MOUNTED) return settle(sentence);
    next_mount = next_mount->next;
  }
  settle(NULL);
}

void disks_mount(const struct json *mounts, disks_callback done) {
  when_settled = done;
  if (mounts == NULL || mounts->type == JSON_NULL) return done(NULL);
  if (mounts->type != JSON_ARRAY) return done("the mounts of the manifest are not a list");
  next_mount = mounts->child;
  deadline_ms = now_ms() + FIND_TIMEOUT_MS;
  step(NULL);
}

void disks_wait(void) {
  while (next_mount != NULL) {
    usleep(FIND_EVERY_MS * 1000);
    step(NULL);
  }
}
