// fuzz: the agent's JSON reader. What it takes it takes again, and as the same, when it is written out.
#include <math.h>

#include "base/json.h"
#include "base/text.h"
#include "fuzz.h"

#define TEXT_BYTES_MAX (1024 * 1024)

static size_t put(char *out, size_t length, const char *text) {
  return length + (size_t)snprintf(out + length, TEXT_BYTES_MAX - length, "%s", text);
}

static size_t put_string(char *out, size_t length, const char *text) {
  length = put(out, length, "\"");
  length = json_escape(out, TEXT_BYTES_MAX, length, text, strlen(text));
  return put(out, length, "\"");
}

static size_t put_json(char *out, size_t length, const struct json *value) {
  bool is_object = value->type == JSON_OBJECT;
  char number[40];
  switch (value->type) {
    case JSON_NULL:
      return put(out, length, "null");
    case JSON_BOOL:
      return put(out, length, value->number != 0 ? "true" : "false");
    case JSON_NUMBER:
      REQUIRE(!isnan(value->number));
      // What is too large for a number is none that can be written.
      snprintf(number, sizeof number, "%.17g", isinf(value->number) ? 0 : value->number);
      return put(out, length, number);
    case JSON_STRING:
      return put_string(out, length, value->string);
    case JSON_ARRAY:
    case JSON_OBJECT:
      break;
  }
  length = put(out, length, is_object ? "{" : "[");
  for (const struct json *child = value->child; child != NULL; child = child->next) {
    REQUIRE((child->name != NULL) == is_object);
    if (child != value->child) length = put(out, length, ",");
    if (is_object) length = put(out, put_string(out, length, child->name), ":");
    if (is_object) REQUIRE(json_member(value, child->name) != NULL);
    length = put_json(out, length, child);
  }
  return put(out, length, is_object ? "}" : "]");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static char first[TEXT_BYTES_MAX], second[TEXT_BYTES_MAX];
  char *text = copy_text(data, size);
  struct json *value = json_parse(text);
  free(text);
  if (value == NULL) return 0;
  first[put_json(first, 0, value)] = '\0';
  json_free(value);
  struct json *again = json_parse(first);
  REQUIRE(again != NULL);
  second[put_json(second, 0, again)] = '\0';
  json_free(again);
  REQUIRE(strcmp(first, second) == 0);
  return 0;
}
