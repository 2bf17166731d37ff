// guest: what the daemon has said of the VM, as JSON, and its members as texts.
#include "metadata/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define NUMBER_BYTES 32

static char *document;

bool document_set(const char *json) {
  char *copy = strdup(json);
  if (copy == NULL) return false;
  free(document);
  document = copy;
  return true;
}

const char *document_text(void) {
  return document;
}

static char *text_of(const struct json *value) {
  char number[NUMBER_BYTES];
  if (value->type == JSON_STRING) return strdup(value->string);
  if (value->type == JSON_BOOL) return strdup(value->number != 0 ? "true" : "false");
  if (value->type != JSON_NUMBER) return NULL;
  snprintf(number, sizeof number, "%.15g", value->number);
  return strdup(number);
}

// Read again for each question. Few are asked, and a tree costs several times the memory of its text.
char *document_member(const char *path, size_t length) {
  char *name = document != NULL ? strndup(path, length) : NULL;
  if (name == NULL) return NULL;
  char *rest = strchr(name, '/');
  if (rest != NULL) *rest++ = '\0';
  struct json *whole = json_parse(document);
  const struct json *member = json_member(whole, name);
  if (rest != NULL) member = json_member(member, rest);
  char *text = member != NULL ? text_of(member) : NULL;
  json_free(whole);
  free(name);
  return text;
}
