// guest: the newest lines of the workload. Each line has a number.
#ifndef VOLANT_GUEST_LOG_RING_H
#define VOLANT_GUEST_LOG_RING_H

#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_BYTES_MAX 1024

struct log_line {
  uint64_t number;
  const char *stream;  // "stdout" or "stderr"
  char time[32];
  uint16_t length;
  char text[LOG_LINE_BYTES_MAX];
};

// Adds a line, which replaces the oldest one if the ring is full. A line that is too long is truncated.
void log_append(const char *stream, const char *text, size_t length);
// Sets the function that is called by log_announce.
void log_on_growth(void (*callback)(void));
// Tells the reader that lines were added.
void log_announce(void);
// The first line whose number is at least `number`, or NULL. Valid until the next log_append.
const struct log_line *log_from(uint64_t number);
// The number that the next line will get.
uint64_t log_next(void);
// The number from which on there are `count` lines.
uint64_t log_tail(uint64_t count);

#endif
