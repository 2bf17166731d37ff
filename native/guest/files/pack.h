// guest: a tree of files as an archive, written while it is read.
#ifndef VOLANT_GUEST_PACK_H
#define VOLANT_GUEST_PACK_H

#include "files/options.h"

// Answers with the archive of what the path names, and ends the process.
void pack_serve(int root, const struct file_options *options) __attribute__((noreturn));

#endif
