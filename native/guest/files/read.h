// guest: what is read of files: their content, whole or in part, their facts, the list of a directory.
#ifndef VOLANT_GUEST_READ_H
#define VOLANT_GUEST_READ_H

#include "files/options.h"

// Answers a request that reads, except for an archive, and ends the process.
void read_serve(int root, const struct file_options *options) __attribute__((noreturn));

#endif
