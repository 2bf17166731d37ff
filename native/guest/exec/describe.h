// guest: an exec as JSON, for answers and for the end of an attached connection.
#ifndef VOLANT_GUEST_DESCRIBE_H
#define VOLANT_GUEST_DESCRIBE_H

#include <stddef.h>

#include "exec/exec.h"

// The size of a buffer for describe_exec.
#define DESCRIPTION_BYTES_MAX 2048

// Writes an object. Returns its length.
size_t describe_exec(const struct exec *exec, char *buffer, size_t size);

#endif
