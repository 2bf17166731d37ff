// guest: an archive that becomes files below a directory. Nothing is written outside of it, whatever the archive says.
#ifndef VOLANT_GUEST_UNPACK_H
#define VOLANT_GUEST_UNPACK_H

#include "files/options.h"

// Unpacks the body of the request, answers, and ends the process.
void unpack_serve(int root, const struct file_options *options) __attribute__((noreturn));

#endif
