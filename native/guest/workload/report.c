// guest: writes members of the JSON object that describes the workload. workload.c decides which.
#include "workload/report.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "workload/log_ring.h"

#define LAST_LINES 5
#define LAST_LINE_BYTES 160

size_t report_text(char *buffer, size_t size, size_t length, const char *name, const char *text) {
  length += (size_t)snprintf(buffer + length, size - length, ",\"%s\":\"", name);
  length = json_escape(buffer, size, length, text, strlen(text));
  return length + (size_t)snprintf(buffer + length, size - length, "\"");
}

size_t report_number(char *buffer, size_t size, size_t length, const char *name, int number) {
  if (number < 0) return length;
  return length + (size_t)snprintf(buffer + length, size - length, ",\"%s\":%d", name, number);
}

// The number of bytes of a line that are shown, so that no UTF-8 character is split.
static size_t shown_bytes(const struct log_line *line) {
  size_t shown = line->length < LAST_LINE_BYTES ? line->length : LAST_LINE_BYTES;
  while (shown > 0 && shown < line->length && ((unsigned char)line->text[shown] & 0xc0) == 0x80) shown--;
  return shown;
}

size_t report_lines(char *buffer, size_t size, size_t length, uint64_t first, uint64_t end) {
  uint64_t number = end > LAST_LINES ? end - LAST_LINES : 0;
  const char *separator = "";
  const struct log_line *line;
  if (number < first) number = first;
  length += (size_t)snprintf(buffer + length, size - length, ",\"last_lines\":[");
  while (number < end && (line = log_from(number)) != NULL && line->number < end) {
    length += (size_t)snprintf(buffer + length, size - length, "%s\"", separator);
    length = json_escape(buffer, size, length, line->text, shown_bytes(line));
    length += (size_t)snprintf(buffer + length, size - length, "\"");
    separator = ",";
    number = line->number + 1;
  }
  return length + (size_t)snprintf(buffer + length, size - length, "]");
}
