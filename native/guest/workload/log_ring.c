// guest: the newest lines of the workload in a ring of fixed size. A reader keeps the number of the next line that it wants.
#include "workload/log_ring.h"

#include <string.h>

#include "base/text.h"

#define LINES_MAX 1024

static struct log_line lines[LINES_MAX];
static uint64_t next_number;
static void (*on_growth)(void);

void log_append(const char *stream, const char *text, size_t length) {
  struct log_line *line = &lines[next_number % LINES_MAX];
  line->number = next_number++;
  line->stream = stream;
  line->length = (uint16_t)(length < LOG_LINE_BYTES_MAX ? length : LOG_LINE_BYTES_MAX);
  format_time(line->time, sizeof line->time);
  memcpy(line->text, text, line->length);
}

void log_on_growth(void (*callback)(void)) {
  on_growth = callback;
}

void log_announce(void) {
  if (on_growth != NULL) on_growth();
}

const struct log_line *log_from(uint64_t number) {
  uint64_t oldest = next_number > LINES_MAX ? next_number - LINES_MAX : 0;
  if (number < oldest) number = oldest;
  return number < next_number ? &lines[number % LINES_MAX] : NULL;
}

uint64_t log_next(void) {
  return next_number;
}

uint64_t log_tail(uint64_t count) {
  return next_number > count ? next_number - count : 0;
}
