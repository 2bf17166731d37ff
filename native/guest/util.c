// guest: small helpers without a subject of their own.
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

void say(const char *format, ...) {
  char line[512];
  int length = snprintf(line, sizeof line, "volant-agent: ");
  va_list arguments;
  va_start(arguments, format);
  int more = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
  va_end(arguments);
  if (more > 0) length += more < (int)sizeof line - length - 1 ? more : (int)sizeof line - length - 2;
  line[length++] = '\n';
  console_write(line, (size_t)length);
}

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

void format_time(char *buffer, size_t size) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct tm parts;
  gmtime_r(&now.tv_sec, &parts);
  size_t length = strftime(buffer, size, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(buffer + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
}

size_t json_escape(char *buffer, size_t size, size_t length, const char *text, size_t text_length) {
  for (size_t i = 0; i < text_length; i++) {
    unsigned char c = (unsigned char)text[i];
    char piece[8];
    int piece_length = 1;
    if (c == '"' || c == '\\') {
      piece[0] = '\\';
      piece[1] = (char)c;
      piece_length = 2;
    } else if (c < 0x20 || c == 0x7f) {
      piece_length = snprintf(piece, sizeof piece, "\\u%04x", c);
    } else {
      piece[0] = (char)c;
    }
    if (length + (size_t)piece_length >= size) break;
    memcpy(buffer + length, piece, (size_t)piece_length);
    length += (size_t)piece_length;
  }
  buffer[length] = '\0';
  return length;
}
