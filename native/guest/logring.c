// guest: the newest lines of the workload in a ring of fixed size. Lines have numbers; a reader keeps
// the number it wants next.
#include <string.h>

#include "agent.h"

#define LINES_MAX 1024
#define LINE_BYTES_MAX 1024

struct slot {
  struct log_line line;
  char text[LINE_BYTES_MAX];
};

static struct slot slots[LINES_MAX];
static uint64_t next_number;

void log_append(const char *stream, const char *text, size_t length) {
  struct slot *slot = &slots[next_number % LINES_MAX];
  slot->line.number = next_number++;
  slot->line.stream = stream;
  slot->line.length = (uint16_t)(length < LINE_BYTES_MAX ? length : LINE_BYTES_MAX);
  format_time(slot->line.time, sizeof slot->line.time);
  memcpy(slot->line.text, text, slot->line.length);
}

const struct log_line *log_from(uint64_t number) {
  uint64_t oldest = next_number > LINES_MAX ? next_number - LINES_MAX : 0;
  if (number < oldest) number = oldest;
  return number < next_number ? &slots[number % LINES_MAX].line : NULL;
}

uint64_t log_next(void) {
  return next_number;
}

uint64_t log_tail(uint64_t count) {
  return next_number > count ? next_number - count : 0;
}
