// guest: file systems that are no disk: their files have no size, and their directories no end.
#ifndef VOLANT_GUEST_KERNEL_FILES_H
#define VOLANT_GUEST_KERNEL_FILES_H

#include <stdbool.h>

// Whether the descriptor is on a file system in which the kernel shows its state, such as /proc.
bool kernel_files_are_at(int fd);

#endif
