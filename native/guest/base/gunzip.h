// guest: gzip, the form of a manifest on the kernel command line.
#ifndef VOLANT_GUEST_GUNZIP_H
#define VOLANT_GUEST_GUNZIP_H

#include <stddef.h>
#include <sys/types.h>

// Decompresses one gzip member (RFC 1952). Returns the length of *result, which has a NUL behind its end and which the caller
// frees. Returns -1 if the data is malformed, its checksum is wrong, the result has more than max bytes, or memory is short.
ssize_t gunzip(const unsigned char *data, size_t length, size_t max, char **result);

#endif
