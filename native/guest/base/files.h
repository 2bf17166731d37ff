// guest: small helpers for files and descriptors.
#ifndef VOLANT_GUEST_FILES_H
#define VOLANT_GUEST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Reads a file into the caller's buffer and adds a NUL. A longer file is truncated. Returns the number of bytes, or -1 if the
// file cannot be opened.
ssize_t read_file(const char *path, char *buffer, size_t size);
// Replaces the content of a file, which is created if it is missing. Returns false, with errno, on failure.
bool write_file(const char *path, const char *text);
// Sets O_NONBLOCK on the open file description.
void set_nonblocking(int fd);

#endif
