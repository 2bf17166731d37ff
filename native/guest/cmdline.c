// guest: the kernel command line as keys and values.
#include <stdlib.h>
#include <string.h>

#include "agent.h"

// The kernel's own bound is 2048 on x86; other machines have up to 64 KiB.
#define CMDLINE_BYTES_MAX 65536

static char *line;

void cmdline_load(void) {
  char *text = malloc(CMDLINE_BYTES_MAX);
  if (text == NULL) return;
  if (read_file("/proc/cmdline", text, CMDLINE_BYTES_MAX) >= 0) cmdline_parse(text);
  free(text);
}

void cmdline_parse(const char *text) {
  free(line);
  size_t length = strlen(text);
  // Each argument closed with a NUL, the whole with another one.
  line = calloc(1, length + 2);
  if (line == NULL) return;
  for (size_t i = 0; i < length; i++) {
    bool space = text[i] == ' ' || text[i] == '\n' || text[i] == '\t';
    line[i] = space ? '\0' : text[i];
  }
  line[length + 1] = '\1';
}

const char *cmdline_value(const char *key) {
  if (line == NULL) return NULL;
  size_t key_length = strlen(key);
  for (const char *argument = line; *argument != '\1';) {
    size_t length = strlen(argument);
    if (length > key_length && argument[key_length] == '=' &&
        strncmp(argument, key, key_length) == 0) {
      return argument + key_length + 1;
    }
    argument += length + 1;
  }
  return NULL;
}

bool cmdline_has(const char *word) {
  if (line == NULL) return false;
  for (const char *argument = line; *argument != '\1'; argument += strlen(argument) + 1) {
    if (strcmp(argument, word) == 0) return true;
  }
  return false;
}
