// guest: requests about files, each in a process of its own, so that a slow disk never stops the agent.
#ifndef VOLANT_GUEST_TRANSFER_H
#define VOLANT_GUEST_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/heads.h"

// The paths of the requests: files, and what changes below a directory.
#define TRANSFER_PATH "/agent/files"
#define TRANSFER_WATCH_PATH "/agent/watch"

// Hands a connection to a new process, which answers and ends it. `head` has `length` bytes, with what was read behind it. The
// caller keeps its descriptor and closes it. Returns false if there are too many of these processes, or no more can be made.
bool transfer_begin(int fd, const char *head, size_t length, const struct request *request);
// Must be called for each child of the agent that has ended.
void transfer_child_ended(pid_t pid);
// Ends all of them, because the guest ends.
void transfer_end_all(void);

#endif
