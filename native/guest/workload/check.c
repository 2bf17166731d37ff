// guest: reads how a manifest wants its workload to be checked. health.c does the checks. workload.c decides when, and what
// the result means.
#include "workload/check.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define START_MS 120000
#define INTERVAL_MS 10000
#define TIMEOUT_MS 5000
#define MS_MAX 1e9

const char *const check_names[] = {"none", "listen", "http", "tcp", "exec"};

// A member as a whole number of at most `most`, or `fallback` if it is missing or less than 1.
static int number_in(const struct json *section, const char *name, int fallback, double most) {
  const struct json *member = json_member(section, name);
  if (member == NULL || member->type != JSON_NUMBER || !(member->number >= 1)) return fallback;
  return (int)(member->number < most ? member->number : most);
}

static const char *take_endpoint(struct check *check, const char *endpoint) {
  bool is_path = endpoint[0] == '/' && is_visible_text(endpoint) && strchr(endpoint, '#') == NULL;
  if (!is_path || strlen(endpoint) > HEALTH_ENDPOINT_BYTES_MAX) {
    return "health_check.endpoint must be a path that begins with /: it is never asked";
  }
  check->endpoint = endpoint;
  return NULL;
}

static const char *take_command(struct check *check, const struct json *command) {
  const char *wrong = "health_check.command must name a program and its arguments: it is never run";
  size_t count = 0, bytes = 0;
  if (command == NULL || command->type != JSON_ARRAY) return wrong;
  for (const struct json *item = command->child; item != NULL; item = item->next) {
    if (item->type != JSON_STRING || count == HEALTH_COMMAND_ARGUMENTS_MAX) return wrong;
    bytes += strlen(item->string) + 1;
    check->command[count++] = item->string;
  }
  if (count == 0 || check->command[0][0] == '\0' || bytes > HEALTH_COMMAND_BYTES_MAX) return wrong;
  return NULL;
}

// Without a type, the other members decide.
static enum check_type type_in(const struct json *section) {
  const char *type = json_text(section, "type", "");
  for (size_t i = 0; i < sizeof check_names / sizeof *check_names; i++) {
    if (i != CHECK_LISTEN && strcmp(type, check_names[i]) == 0) return (enum check_type)i;
  }
  if (json_member(section, "command") != NULL) return CHECK_EXEC;
  if (json_text(section, "endpoint", "")[0] != '\0') return CHECK_HTTP;
  return number_in(section, "port", 0, UINT16_MAX) > 0 ? CHECK_TCP : CHECK_LISTEN;
}

void check_take(struct check *check, const struct json *manifest, uint16_t base_port) {
  const struct json *section = json_member(manifest, "health_check");
  *check = (struct check){
      .type = type_in(section),
      .endpoint = "",
      .port = (uint16_t)number_in(section, "port", base_port, UINT16_MAX),
      .start_ms = number_in(section, "timeout_ms", START_MS, MS_MAX),
      .interval_ms = number_in(section, "interval_ms", INTERVAL_MS, HEALTH_INTERVAL_MS_MAX),
      .timeout_ms = number_in(section, "probe_timeout_ms", TIMEOUT_MS, HEALTH_PROBE_TIMEOUT_MS_MAX),
      .retries = number_in(section, "retries", 1, HEALTH_RETRIES_MAX),
  };
  if (check->interval_ms < HEALTH_INTERVAL_MS_MIN) check->interval_ms = HEALTH_INTERVAL_MS_MIN;
  if (check->type == CHECK_HTTP) check->wrong = take_endpoint(check, json_text(section, "endpoint", ""));
  if (check->type == CHECK_EXEC) check->wrong = take_command(check, json_member(section, "command"));
}
