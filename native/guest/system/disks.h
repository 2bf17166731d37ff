// guest: the disks of the manifest.
#ifndef VOLANT_GUEST_DISKS_H
#define VOLANT_GUEST_DISKS_H

#include "base/json.h"

// Gets NULL, or why a disk could not be mounted.
typedef void (*disks_callback)(const char *why);
// Mounts the disks in the list `mounts` of a manifest, and waits some seconds for disks that are missing. Calls back once,
// possibly before it returns. The caller keeps the list alive until then.
void disks_mount(const struct json *mounts, disks_callback done);
// Blocks until disks_mount has called back. For the boot only, when the loop does not run yet.
void disks_wait(void);
// Makes the links in /dev/disk/by-id, which no other program makes if the agent is process 1.
void disks_own_dev(void);

#endif
