// guest: file systems on block devices.
#ifndef VOLANT_GUEST_FILESYSTEM_H
#define VOLANT_GUEST_FILESYSTEM_H

#include <stdbool.h>
#include <stddef.h>

struct mount_options {
  const char *type;  // NULL: detected from the superblock
  bool readonly;
};

// The type of the file system on a device. Returns NULL, with the reason in `why`, if there is none that is known.
const char *filesystem_probe(const char *device, char *why, size_t size);
// Mounts a device. A read-only device is mounted read-only. Returns false, with the reason in `why`, on failure.
bool filesystem_mount(const char *device, const char *target, const struct mount_options *options,
                      char *why, size_t size);
// Makes a directory with its parents. Returns false, with errno, if it does not exist afterwards.
bool make_directories(const char *path);
// Remounts all file systems of disks read-only, so that they are clean. A failure is reported on the console.
void filesystem_release(void);

#endif
