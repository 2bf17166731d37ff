// guest: reads a manifest into what is needed to start its program. Each member is taken as it is, or refused with a
// sentence. Nothing is truncated. workload.c starts the program.
#include "workload/manifest.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "workload/image.h"

#define METADATA_NAME "VOLANT_METADATA_URL"
#define TEXT_OF(number) #number
#define METADATA_URL(port) "http://127.0.0.1:" TEXT_OF(port)

// Linux counts the NUL and a pointer for each text.
#define TEXT_OVERHEAD (1 + sizeof(char *))

static bool has_members(const struct json *list) {
  return list != NULL && list->type == JSON_ARRAY && list->child != NULL;
}

// Returns false if there are more arguments than the limits allow.
static bool add_arguments(struct program *program, size_t *count, const struct json *list) {
  size_t given = 0;
  if (!has_members(list)) return true;
  for (const struct json *item = list->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || given++ == ARGUMENTS_MAX || *count == 2 * ARGUMENTS_MAX) return false;
    if (strlen(item->string) > (*count == 0 ? PATH_BYTES_MAX : ARGUMENT_BYTES_MAX)) return false;
    program->arguments[(*count)++] = item->string;
  }
  return true;
}

// An entrypoint of the manifest replaces that of the image with its arguments; arguments replace arguments only. Returns false
// if there is no program, or more arguments than the limits allow.
static bool take_arguments(struct program *program, const struct json *section, const struct json *image) {
  size_t count = 0;
  const struct json *entrypoint = json_member(section, "entrypoint"), *arguments = json_member(section, "args");
  bool has_own = has_members(entrypoint);
  if (!has_own) entrypoint = json_member(image, "entrypoint");
  if (arguments == NULL && !has_own) arguments = json_member(image, "args");
  return add_arguments(program, &count, entrypoint) && add_arguments(program, &count, arguments) && count > 0;
}

static bool add_variable(struct program *program, size_t *count, const char *name, const char *value) {
  size_t size = strlen(name) + strlen(value) + 2;
  bool fits = *count < 2 * VARIABLES_MAX + STANDARD_VARIABLES && size <= ARGUMENT_BYTES_MAX + 1;
  char *text = fits ? malloc(size) : NULL;
  if (text == NULL) return false;
  snprintf(text, size, "%s=%s", name, value);
  program->variables[(*count)++] = text;
  return true;
}

static bool is_given(const struct json *env, const struct json *of_image, const char *name) {
  return json_text(env, name, NULL) != NULL || json_text(of_image, name, NULL) != NULL;
}

// Adds the variables of `env` that `over` does not have.
static bool add_variables(struct program *program, size_t *count, const struct json *env, const struct json *over) {
  size_t given = 0;
  if (env == NULL || env->type != JSON_OBJECT) return true;
  for (const struct json *item = env->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || json_text(over, item->name, NULL) != NULL) continue;
    if (++given > VARIABLES_MAX || !add_variable(program, count, item->name, item->string)) return false;
  }
  return true;
}

// Returns false if there are too many variables or one is too long.
static bool take_variables(struct program *program, const struct json *env, const struct json *of_image, bool has_metadata) {
  size_t count = 0;
  const char *standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (!is_given(env, of_image, "PATH")) add_variable(program, &count, "PATH", standard);
  program->home_at = is_given(env, of_image, "HOME") ? -1 : (int)count;
  if (program->home_at >= 0) add_variable(program, &count, "HOME", "/root");
  if (!is_given(env, of_image, "TERM")) add_variable(program, &count, "TERM", "linux");
  if (has_metadata && !is_given(env, of_image, METADATA_NAME)) {
    add_variable(program, &count, METADATA_NAME, METADATA_URL(METADATA_PORT));
  }
  return add_variables(program, &count, of_image, env) && add_variables(program, &count, env, NULL);
}

static size_t bytes_of(char *const *texts) {
  size_t bytes = 0;
  for (; *texts != NULL; texts++) bytes += strlen(*texts) + TEXT_OVERHEAD;
  return bytes;
}

// Reads http://host[:port][/prefix]. The host is an IPv4 address or localhost.
static bool take_base_url(struct program *program, const char *url) {
  if (url == NULL || strncmp(url, "http://", 7) != 0 || !is_visible_text(url)) return false;
  const char *at = url + 7;
  char host[INET_ADDRSTRLEN];
  struct in_addr parsed;
  size_t length = strcspn(at, ":/");
  if (length >= sizeof host) return false;
  snprintf(host, sizeof host, "%.*s", (int)length, at);
  at += length;
  unsigned long port = 80;
  if (*at == ':') {
    size_t digits = strspn(at + 1, "0123456789");
    port = strtoul(at + 1, NULL, 10);
    if (digits == 0) return false;
    at += digits + 1;
  }
  length = strlen(at);
  bool is_path = (length == 0 || *at == '/') && strpbrk(at, "?#") == NULL;
  if (length > 0 && at[length - 1] == '/') length--;
  if (!is_path || length > BASE_URL_PATH_BYTES_MAX) return false;
  if (strcmp(host, "localhost") == 0) snprintf(host, sizeof host, "127.0.0.1");
  if (port < 1 || port > UINT16_MAX || inet_pton(AF_INET, host, &parsed) != 1) return false;
  snprintf(program->host, sizeof program->host, "%s", host);
  snprintf(program->prefix, sizeof program->prefix, "%.*s", (int)length, at);
  program->port = (uint16_t)port;
  return true;
}

// An image that exposes a port is expected to listen at it.
static bool take_address(struct program *program, const struct json *section, const struct json *image) {
  char url[64];
  const struct json *port = json_member(image, "port");
  const char *given = json_text(section, "base_url", NULL);
  if (given != NULL) return take_base_url(program, given);
  if (port == NULL || port->type != JSON_NUMBER || !(port->number >= 1 && port->number <= UINT16_MAX)) return true;
  snprintf(url, sizeof url, "http://127.0.0.1:%d", (int)port->number);
  return take_base_url(program, url);
}

static const char *text_of(const struct json *section, const struct json *image, const char *name) {
  const char *given = json_text(section, name, "");
  return given[0] != '\0' ? given : json_text(image, name, "");
}

static int stop_signal_of(const struct json *section, const struct json *image) {
  const struct json *given = json_member(section, "stop_signal");
  if (given == NULL) given = json_member(image, "stop_signal");
  bool is_signal = given != NULL && given->type == JSON_NUMBER && given->number >= 1 && given->number <= 64;
  return is_signal ? (int)given->number : SIGTERM;
}

// Returns false for a policy that this agent does not have: a program must not be started again against the manifest.
static bool take_restart(struct program *program, const struct json *section) {
  static const char *const names[] = {"always", "on-failure", "never"};
  const struct json *given = json_member(section, "restart");
  program->restart = RESTART_ALWAYS;
  if (given == NULL) return true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (given->type != JSON_STRING || strcmp(given->string, names[i]) != 0) continue;
    program->restart = (enum restart_policy)i;
    return true;
  }
  return false;
}

// The manifest says whether its root disk is that of an image. A disk may have been one once.
static const struct json *image_of(const struct json *manifest) {
  return json_text(manifest, "image", NULL) == NULL ? NULL : image_settings();
}

bool program_take_address(struct program *program, const struct json *manifest) {
  const struct json *section = json_member(manifest, "workload");
  program->directory = "/";
  program->user = "";
  program->stop_signal = SIGTERM;
  bool is_taken = take_address(program, section, image_of(manifest));
  check_take(&program->check, manifest, program->port);
  // The default check is for programs that the agent starts. Here an init decides what runs.
  if (program->check.type == CHECK_LISTEN) program->check.type = CHECK_NONE;
  return take_variables(program, NULL, NULL, false) && is_taken;
}

const char *program_take(struct program *program, const struct json *manifest) {
  const struct json *section = json_member(manifest, "workload"), *image = image_of(manifest);
  program->is_none = strcmp(json_text(section, "type", ""), "none") == 0;
  if (!program->is_none && !take_arguments(program, section, image)) {
    return image == NULL ? "the manifest has no usable entrypoint"
                         : "neither the image nor the manifest has a usable entrypoint";
  }
  // The port of an image is that of its program.
  if (!program->is_none && !take_address(program, section, image)) {
    return "base_url must be http:// and an IPv4 address or localhost";
  }
  const struct json *metadata = json_member(manifest, "metadata_service");
  bool has_metadata = metadata != NULL && metadata->type == JSON_BOOL && metadata->number != 0;
  if (!take_variables(program, json_member(section, "env"), json_member(image, "env"), has_metadata)) {
    return "the manifest has too many variables";
  }
  // An image may have half as much as a manifest: together they have less than Linux takes.
  size_t most = EXECUTE_BYTES_MAX + (image == NULL ? 0 : EXECUTE_BYTES_MAX / 2);
  if (bytes_of(program->arguments) + bytes_of(program->variables) > most) {
    return "arguments and variables of the manifest are too long together";
  }
  program->directory = text_of(section, image, "workdir");
  if (program->directory[0] == '\0') program->directory = "/";
  if (strlen(program->directory) > PATH_BYTES_MAX) return "workdir is too long";
  program->user = text_of(section, image, "user");
  if (strlen(program->user) > USER_BYTES_MAX) return "user is too long";
  program->stop_signal = stop_signal_of(section, image);
  if (!take_restart(program, section)) return "restart must be always, on-failure or never";
  check_take(&program->check, manifest, program->port);
  // A program that tells no port need not listen at one.
  if (program->port == 0 && program->check.type == CHECK_LISTEN) program->check.type = CHECK_NONE;
  return NULL;
}
