// guest: a JSON reader for manifests.
#ifndef VOLANT_GUEST_JSON_H
#define VOLANT_GUEST_JSON_H

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
  enum json_type type;
  double number;       // of JSON_NUMBER; of JSON_BOOL: 0 or 1
  char *string;        // of JSON_STRING, without NUL characters
  char *name;          // of a member of an object, else NULL
  struct json *child;  // the first member of an array or object
  struct json *next;   // the next member of the same array or object
};

// Parses a text. Returns NULL if it is not JSON, is deeper than JSON_DEPTH_MAX, has more than JSON_VALUES_MAX values, or
// memory is short. The caller frees the result with json_free.
struct json *json_parse(const char *text);
// Frees a value with everything below it. NULL is allowed.
void json_free(struct json *value);
// The first member of an object with this name. Returns NULL if there is none, or if `object` is NULL or no object.
const struct json *json_member(const struct json *object, const char *name);
// The string of a member, or `fallback` if there is none or it is not a string.
const char *json_text(const struct json *object, const char *name, const char *fallback);

#endif
