// guest: the switch from the initramfs to a root disk.
#ifndef VOLANT_GUEST_ROOTFS_H
#define VOLANT_GUEST_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>

// A root disk that was made of a container image has this file at its root: what the image says of its program.
#define IMAGE_SETTINGS_FILE ".volant-image.json"

// Makes the root disk that the command line names the root directory. Returns false, with the reason in `why`, on failure.
// Then everything is as before.
bool rootfs_enter(char *why, size_t size);

#endif
