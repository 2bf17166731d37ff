// guest: the kernel command line as keys and values.
#include "system/cmdline.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"

// The kernel's maximum is 2048 bytes on x86 and up to 64 KiB on other machines.
#define CMDLINE_BYTES_MAX 65536

// The arguments, each followed by a NUL.
static char *line;
static size_t line_length;

void cmdline_load(void) {
  char *text = malloc(CMDLINE_BYTES_MAX);
  if (text == NULL) return;
  if (read_file("/proc/cmdline", text, CMDLINE_BYTES_MAX) >= 0) cmdline_parse(text);
  free(text);
}

void cmdline_parse(const char *text) {
  free(line);
  line_length = strlen(text);
  line = calloc(1, line_length + 1);
  if (line == NULL) line_length = 0;
  for (size_t i = 0; i < line_length; i++) {
    bool space = text[i] == ' ' || text[i] == '\n' || text[i] == '\t';
    line[i] = space ? '\0' : text[i];
  }
}

// The first argument at or after a position in the line, or NULL.
static const char *argument_from(size_t at) {
  while (at < line_length && line[at] == '\0') at++;
  return at < line_length ? line + at : NULL;
}

static const char *argument_after(const char *argument) {
  return argument_from((size_t)(argument - line) + strlen(argument));
}

const char *cmdline_value(const char *key) {
  size_t key_length = strlen(key);
  for (const char *argument = argument_from(0); argument != NULL; argument = argument_after(argument)) {
    if (strncmp(argument, key, key_length) == 0 && argument[key_length] == '=') {
      return argument + key_length + 1;
    }
  }
  return NULL;
}

bool cmdline_has(const char *word) {
  for (const char *argument = argument_from(0); argument != NULL; argument = argument_after(argument)) {
    if (strcmp(argument, word) == 0) return true;
  }
  return false;
}
