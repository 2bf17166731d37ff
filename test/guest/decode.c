// test: the agent's decoders as a program of the host: reads inputs, writes what each of them became.
// Usage: decode gunzip|base64url|json|cmdline|manifest|head. An input and an output are a length (little-endian, 32
// bits) and so many bytes; what cannot be decoded has the length 0xffffffff and no bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/console.h"
#include "base/gunzip.h"
#include "base/heads.h"
#include "base/json.h"
#include "base/text.h"
#include "system/cmdline.h"
#include "workload/manifest.h"

#define REFUSED 0xffffffffU
#define GUNZIP_BYTES_MAX (1024 * 1024)
// A text may grow to six times its length by its escapes.
#define TEXT_BYTES_MAX (32 * 1024 * 1024)

// Messages of the agent go to stderr.
bool console_write(const char *text, size_t length) {
  return fwrite(text, 1, length, stderr) == length;
}

static void put_output(const void *bytes, uint32_t length) {
  fwrite(&length, sizeof length, 1, stdout);
  if (length != REFUSED) fwrite(bytes, 1, length, stdout);
  fflush(stdout);
}

// The tree as JSON again.
static size_t put_json(char *out, size_t length, const struct json *value) {
  static const char *const words[] = {"false", "true"};
  const char *separator = "";
  switch (value->type) {
    case JSON_NULL:
      return length + (size_t)sprintf(out + length, "null");
    case JSON_BOOL:
      return length + (size_t)sprintf(out + length, "%s", words[(int)value->number]);
    case JSON_NUMBER:
      return length + (size_t)sprintf(out + length, "%.17g", value->number);
    case JSON_STRING:
      out[length++] = '"';
      length = json_escape(out, TEXT_BYTES_MAX, length, value->string, strlen(value->string));
      out[length++] = '"';
      return length;
    case JSON_ARRAY:
    case JSON_OBJECT:
      break;
  }
  bool is_object = value->type == JSON_OBJECT;
  out[length++] = is_object ? '{' : '[';
  for (const struct json *child = value->child; child != NULL; child = child->next) {
    length += (size_t)sprintf(out + length, "%s", separator);
    separator = ",";
    if (is_object) {
      out[length++] = '"';
      length = json_escape(out, TEXT_BYTES_MAX, length, child->name, strlen(child->name));
      length += (size_t)sprintf(out + length, "\":");
    }
    length = put_json(out, length, child);
  }
  out[length++] = is_object ? '}' : ']';
  return length;
}

static void decode_json(const char *text) {
  static char out[TEXT_BYTES_MAX];
  struct json *value = json_parse(text);
  if (value == NULL) return put_output(NULL, REFUSED);
  put_output(out, (uint32_t)put_json(out, 0, value));
  json_free(value);
}

static void decode_base64url(const char *text) {
  unsigned char *bytes = NULL;
  ssize_t length = base64url_decode(text, &bytes);
  put_output(bytes, length < 0 ? REFUSED : (uint32_t)length);
  free(bytes);
}

static void decode_gzip(const char *data, size_t length) {
  char *text = NULL;
  ssize_t count = gunzip((const unsigned char *)data, length, GUNZIP_BYTES_MAX, &text);
  put_output(text, count < 0 ? REFUSED : (uint32_t)count);
  free(text);
}

// A command line and a key, with a NUL between them.
static void decode_cmdline(const char *text) {
  cmdline_parse(text);
  const char *value = cmdline_value(text + strlen(text) + 1);
  put_output(value, value == NULL ? REFUSED : (uint32_t)strlen(value));
}

static size_t put_text(char *out, size_t length, const char *separator, const char *text) {
  length += (size_t)sprintf(out + length, "%s\"", separator);
  length = json_escape(out, TEXT_BYTES_MAX, length, text, strlen(text));
  return length + (size_t)sprintf(out + length, "\"");
}

static size_t put_texts(char *out, size_t length, const char *name, char *const *texts) {
  length += (size_t)sprintf(out + length, "\"%s\":[", name);
  for (size_t i = 0; texts[i] != NULL; i++) length = put_text(out, length, i == 0 ? "" : ",", texts[i]);
  return length + (size_t)sprintf(out + length, "],");
}

// What would be started, as JSON. The first letter of what is refused is no brace.
static void take_manifest(const char *text) {
  static char out[TEXT_BYTES_MAX];
  struct program program = {0};
  struct json *manifest = json_parse(text);
  const char *wrong = manifest == NULL ? "not JSON" : program_take(&program, manifest);
  size_t length = 0;
  if (wrong == NULL && program.check.wrong != NULL) wrong = program.check.wrong;
  if (wrong != NULL) {
    put_output(wrong, (uint32_t)strlen(wrong));
  } else {
    out[length++] = '{';
    length = put_texts(out, length, "arguments", program.arguments);
    length = put_texts(out, length, "variables", program.variables);
    length = put_text(out, length, "\"directory\":", program.directory);
    length = put_text(out, length, ",\"user\":", program.user);
    length += (size_t)sprintf(out + length, ",\"signal\":%d", program.stop_signal);
    length += (size_t)sprintf(out + length, ",\"restart\":%d", (int)program.restart);
    length = put_text(out, length, ",\"endpoint\":", program.check.endpoint);
    length = put_text(out, length, ",\"check\":", check_names[program.check.type]);
    length += (size_t)sprintf(out + length, ",");
    length = put_texts(out, length, "command", program.check.command);
    length += (size_t)sprintf(out + length, "\"checkPort\":%u,\"interval\":%d,\"timeout\":%d,\"retries\":%d",
                              program.check.port, program.check.interval_ms, program.check.timeout_ms,
                              program.check.retries);
    length = put_text(out, length, ",\"host\":", program.host);
    length = put_text(out, length, ",\"prefix\":", program.prefix);
    length += (size_t)sprintf(out + length, ",\"port\":%u}", program.port);
    put_output(out, (uint32_t)length);
  }
  for (char **variable = program.variables; *variable != NULL; variable++) free(*variable);
  json_free(manifest);
}

// Method and target of a request.
static void decode_head(const char *head) {
  static char out[REQUEST_METHOD_BYTES_MAX + REQUEST_TARGET_BYTES_MAX + 2];
  struct request request;
  if (!head_read_request(head, &request)) return put_output(NULL, REFUSED);
  put_output(out, (uint32_t)sprintf(out, "%s %s", request.method, request.target));
}

int main(int count, char **arguments) {
  const char *what = count == 2 ? arguments[1] : "";
  uint32_t length;
  while (fread(&length, sizeof length, 1, stdin) == 1) {
    // Of exactly its size, so that a byte read behind it is found; with two NULs for texts.
    bool is_text = strcmp(what, "gunzip") != 0;
    char *input = calloc(1, length + (is_text ? 2 : 0) + (length == 0));
    if (input == NULL || fread(input, 1, length, stdin) != length) return 1;
    if (!is_text) decode_gzip(input, length);
    else if (strcmp(what, "json") == 0) decode_json(input);
    else if (strcmp(what, "base64url") == 0) decode_base64url(input);
    else if (strcmp(what, "cmdline") == 0) decode_cmdline(input);
    else if (strcmp(what, "manifest") == 0) take_manifest(input);
    else if (strcmp(what, "head") == 0) decode_head(input);
    else return 2;
    free(input);
  }
  return 0;
}
