// guest: the changes below a directory as a stream of JSON lines, for as long as the client reads.
#ifndef VOLANT_GUEST_WATCH_H
#define VOLANT_GUEST_WATCH_H

#include "files/options.h"

// Answers with the changes, and ends the process with the client, the directory or the guest.
void watch_serve(int root, const struct file_options *options) __attribute__((noreturn));

#endif
