// fuzz: the kernel's command line. Finds what a plain walk over its words finds. The input is a key, a NUL and the
// line.
#include "fuzz.h"
#include "system/cmdline.h"

static bool is_separator(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

// The next word at or behind `at`, closed with a NUL; NULL at the end. The caller frees it.
static char *next_word(const char **at) {
  while (is_separator(**at)) (*at)++;
  const char *start = *at;
  while (**at != '\0' && !is_separator(**at)) (*at)++;
  return *at == start ? NULL : copy_text((const uint8_t *)start, (size_t)(*at - start));
}

static void check(const char *line, const char *key) {
  size_t length = strlen(key);
  char *value = NULL, *word;
  bool has = false;
  for (const char *at = line; (word = next_word(&at)) != NULL; free(word)) {
    if (strcmp(word, key) == 0) has = true;
    if (value == NULL && strncmp(word, key, length) == 0 && word[length] == '=') value = strdup(word + length + 1);
  }
  const char *found = cmdline_value(key);
  REQUIRE((found != NULL) == (value != NULL));
  if (found != NULL) REQUIRE(strcmp(found, value) == 0);
  REQUIRE(cmdline_has(key) == has);
  free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *key = copy_text(data, size);
  size_t length = strlen(key);
  char *line = copy_text(data + (length < size ? length + 1 : size), length < size ? size - length - 1 : 0);
  cmdline_parse(line);
  // A key with a separator or "=" in it is nobody's.
  if (length > 0 && strpbrk(key, " \n\t=") == NULL) check(line, key);
  free(line);
  free(key);
  return 0;
}
