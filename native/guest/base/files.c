// guest: small helpers for files and descriptors.
#include "base/files.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

ssize_t read_file(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t length = 0;
  while (length < size - 1) {
    ssize_t count = read(fd, buffer + length, size - 1 - length);
    if (count <= 0) break;
    length += (size_t)count;
  }
  close(fd);
  buffer[length] = '\0';
  return (ssize_t)length;
}

bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  size_t length = strlen(text);
  bool written = write(fd, text, length) == (ssize_t)length;
  close(fd);
  return written;
}

void set_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}
