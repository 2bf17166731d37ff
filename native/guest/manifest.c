// guest: the manifest as what its program is started with. Each member is taken as it is or refused with a
// sentence; nothing is ever cut. Starting it is workload.c's business.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

// What Linux counts for each text besides its bytes: the NUL and a pointer.
#define TEXT_OVERHEAD (1 + sizeof(char *))

// false when there is nothing to execute, or more than Linux takes.
static bool take_arguments(struct program *program, const struct json *entrypoint) {
  size_t count = 0;
  if (entrypoint == NULL || entrypoint->type != JSON_ARRAY) return false;
  for (const struct json *item = entrypoint->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || count == ARGUMENTS_MAX) return false;
    if (strlen(item->string) > (count == 0 ? PATH_BYTES_MAX : ARGUMENT_BYTES_MAX)) return false;
    program->arguments[count++] = item->string;
  }
  return count > 0;
}

static bool add_variable(struct program *program, size_t *count, const char *name, const char *value) {
  size_t size = strlen(name) + strlen(value) + 2;
  bool fits = *count < VARIABLES_MAX + STANDARD_VARIABLES && size <= ARGUMENT_BYTES_MAX + 1;
  char *text = fits ? malloc(size) : NULL;
  if (text == NULL) return false;
  snprintf(text, size, "%s=%s", name, value);
  program->variables[(*count)++] = text;
  return true;
}

// false when they are too many or too long.
static bool take_variables(struct program *program, const struct json *env) {
  size_t count = 0, given = 0;
  const char *standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (json_text(env, "PATH", NULL) == NULL) add_variable(program, &count, "PATH", standard);
  if (json_text(env, "HOME", NULL) == NULL) add_variable(program, &count, "HOME", "/root");
  if (json_text(env, "TERM", NULL) == NULL) add_variable(program, &count, "TERM", "linux");
  if (env == NULL || env->type != JSON_OBJECT) return true;
  for (const struct json *item = env->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING) continue;
    if (++given > VARIABLES_MAX || !add_variable(program, &count, item->name, item->string)) return false;
  }
  return true;
}

static size_t bytes_of(char *const *texts) {
  size_t bytes = 0;
  for (; *texts != NULL; texts++) bytes += strlen(*texts) + TEXT_OVERHEAD;
  return bytes;
}

bool is_visible_text(const char *text) {
  for (; *text != '\0'; text++) {
    if (*text <= ' ' || *text > '~') return false;
  }
  return true;
}

// http://host[:port][/prefix]; the host is an address of this guest or localhost.
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

bool program_take_address(struct program *program, const struct json *manifest) {
  const char *url = json_text(json_member(manifest, "workload"), "base_url", NULL);
  program->directory = "/";
  bool is_taken = url == NULL || take_base_url(program, url);
  check_take(&program->check, manifest, program->port);
  // Of a program of its own nothing is known: what it serves, an init decides.
  if (program->check.type == CHECK_LISTEN) program->check.type = CHECK_NONE;
  return take_variables(program, NULL) && is_taken;
}

const char *program_take(struct program *program, const struct json *manifest) {
  const struct json *section = json_member(manifest, "workload");
  program->directory = json_text(section, "workdir", "/");
  if (!take_arguments(program, json_member(section, "entrypoint"))) {
    return "the manifest has no usable entrypoint";
  }
  if (!take_base_url(program, json_text(section, "base_url", NULL))) {
    return "base_url must be http:// and an IPv4 address or localhost";
  }
  if (!take_variables(program, json_member(section, "env"))) return "the manifest has too many variables";
  if (bytes_of(program->arguments) + bytes_of(program->variables) > EXECUTE_BYTES_MAX) {
    return "arguments and variables of the manifest are too long together";
  }
  if (strlen(program->directory) > PATH_BYTES_MAX) return "workdir is too long";
  check_take(&program->check, manifest, program->port);
  return NULL;
}
