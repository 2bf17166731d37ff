// guest: a JSON reader (RFC 8259) with bounds on depth and number of values, for manifests.
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/manifest_limits.h"

struct parser {
  const char *at;
  int values;
};

static struct json *parse_value(struct parser *parser, int depth);

static void skip_space(struct parser *parser) {
  while (*parser->at == ' ' || *parser->at == '\n' || *parser->at == '\r' || *parser->at == '\t') {
    parser->at++;
  }
}

static int hex_digits(const char *text) {
  int value = 0;
  for (int i = 0; i < 4; i++) {
    char c = text[i];
    int digit = c >= '0' && c <= '9' ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

static char *put_utf8(char *out, uint32_t code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *out++ = (char)(0xe0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    *out++ = (char)(0x80 | (code & 0x3f));
  } else {
    *out++ = (char)(0xf0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 0x3f));
    *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    *out++ = (char)(0x80 | (code & 0x3f));
  }
  return out;
}

// \uXXXX, or a surrogate pair of two. Returns -1 if it is malformed.
static int64_t parse_unicode(struct parser *parser) {
  int high = hex_digits(parser->at);
  if (high < 0) return -1;
  parser->at += 4;
  if (high < 0xd800 || high > 0xdfff) return high;
  if (high > 0xdbff || parser->at[0] != '\\' || parser->at[1] != 'u') return -1;
  int low = hex_digits(parser->at + 2);
  if (low < 0xdc00 || low > 0xdfff) return -1;
  parser->at += 6;
  return 0x10000 + ((int64_t)(high - 0xd800) << 10) + (low - 0xdc00);
}

// A string between quotes. The result is never longer than its source. Returns NULL if it is malformed.
static char *parse_string(struct parser *parser) {
  const char *end = ++parser->at;
  while (*end != '\0' && *end != '"') end += *end == '\\' && end[1] != '\0' ? 2 : 1;
  if (*end != '"') return NULL;
  char *text = malloc((size_t)(end - parser->at) + 1);
  if (text == NULL) return NULL;
  char *out = text;
  while (*parser->at != '"') {
    char c = *parser->at++;
    if (c != '\\' && (unsigned char)c >= 0x20) {
      *out++ = c;
      continue;
    }
    static const char escapes[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    // A control character that is not escaped fails here, because it is in no list of escapes.
    if (c == '\\') c = *parser->at++;
    const char *found = c == '\0' ? NULL : strchr(escapes, c);
    int64_t code = found != NULL ? values[found - escapes] : c == 'u' ? parse_unicode(parser) : -1;
    // A NUL is refused: it would end the C string.
    if (code <= 0) {
      free(text);
      return NULL;
    }
    out = put_utf8(out, (uint32_t)code);
  }
  *out = '\0';
  parser->at++;
  return text;
}

static bool parse_members(struct parser *parser, struct json *value, int depth) {
  char close = value->type == JSON_OBJECT ? '}' : ']';
  struct json **last = &value->child;
  parser->at++;
  skip_space(parser);
  if (*parser->at == close) {
    parser->at++;
    return true;
  }
  for (;;) {
    char *name = NULL;
    skip_space(parser);
    if (value->type == JSON_OBJECT) {
      if (*parser->at != '"' || (name = parse_string(parser)) == NULL) return false;
      skip_space(parser);
      if (*parser->at++ != ':') {
        free(name);
        return false;
      }
    }
    struct json *child = parse_value(parser, depth + 1);
    if (child == NULL) {
      free(name);
      return false;
    }
    child->name = name;
    *last = child;
    last = &child->next;
    skip_space(parser);
    char c = *parser->at;
    if (c != ',' && c != close) return false;
    parser->at++;
    if (c == close) return true;
  }
}

static bool parse_word(struct parser *parser, const char *word) {
  size_t length = strlen(word);
  if (strncmp(parser->at, word, length) != 0) return false;
  parser->at += length;
  return true;
}

static const char *skip_digits(const char *at) {
  while (*at >= '0' && *at <= '9') at++;
  return at;
}

// The grammar is checked here, because strtod would also accept "0x1", "inf" and "01".
static bool parse_number(struct parser *parser, struct json *value) {
  const char *at = parser->at + (*parser->at == '-');
  const char *end = *at == '0' ? at + 1 : skip_digits(at);
  if (end == at) return false;
  if (*end == '.') {
    at = end + 1;
    end = skip_digits(at);
    if (end == at) return false;
  }
  if (*end == 'e' || *end == 'E') {
    at = end + 1 + (end[1] == '+' || end[1] == '-');
    end = skip_digits(at);
    if (end == at) return false;
  }
  value->type = JSON_NUMBER;
  value->number = strtod(parser->at, NULL);
  parser->at = end;
  return true;
}

static bool parse_into(struct parser *parser, struct json *value, int depth) {
  switch (*parser->at) {
    case '{':
      value->type = JSON_OBJECT;
      return parse_members(parser, value, depth);
    case '[':
      value->type = JSON_ARRAY;
      return parse_members(parser, value, depth);
    case '"':
      value->type = JSON_STRING;
      return (value->string = parse_string(parser)) != NULL;
    case 't':
      value->type = JSON_BOOL;
      value->number = 1;
      return parse_word(parser, "true");
    case 'f':
      value->type = JSON_BOOL;
      return parse_word(parser, "false");
    case 'n':
      return parse_word(parser, "null");
    default:
      return parse_number(parser, value);
  }
}

static struct json *parse_value(struct parser *parser, int depth) {
  if (depth > JSON_DEPTH_MAX || ++parser->values > JSON_VALUES_MAX) return NULL;
  struct json *value = calloc(1, sizeof *value);
  if (value == NULL) return NULL;
  skip_space(parser);
  if (parse_into(parser, value, depth)) return value;
  json_free(value);
  return NULL;
}

struct json *json_parse(const char *text) {
  struct parser parser = {.at = text};
  struct json *value = parse_value(&parser, 0);
  if (value == NULL) return NULL;
  skip_space(&parser);
  if (*parser.at == '\0') return value;
  json_free(value);
  return NULL;
}

void json_free(struct json *value) {
  while (value != NULL) {
    struct json *next = value->next;
    json_free(value->child);
    free(value->name);
    free(value->string);
    free(value);
    value = next;
  }
}

const struct json *json_member(const struct json *object, const char *name) {
  if (object == NULL || object->type != JSON_OBJECT) return NULL;
  for (const struct json *child = object->child; child != NULL; child = child->next) {
    if (strcmp(child->name, name) == 0) return child;
  }
  return NULL;
}

const char *json_text(const struct json *object, const char *name, const char *fallback) {
  const struct json *member = json_member(object, name);
  return member != NULL && member->type == JSON_STRING ? member->string : fallback;
}
