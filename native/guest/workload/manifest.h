// guest: a manifest as what is needed to start its program.
#ifndef VOLANT_GUEST_MANIFEST_H
#define VOLANT_GUEST_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/manifest_limits.h"
#include "workload/check.h"

// PATH, HOME and TERM have default values, and there is one for the metadata service.
#define STANDARD_VARIABLES 4

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER };

// Texts belong to the manifest or to the image, except those of `variables`, which are allocated.
struct program {
  // The manifest wants no program. What follows is then for the command of a health check.
  bool is_none;
  // Some may be of the image, others of the manifest.
  char *arguments[2 * ARGUMENTS_MAX + 1];
  char *variables[2 * VARIABLES_MAX + STANDARD_VARIABLES + 1];
  // The place of HOME in `variables` if neither says it, else -1. Then it is the user's.
  int home_at;
  const char *directory;
  const char *user;  // "user" or "user:group"; empty: root
  int stop_signal;
  enum restart_policy restart;  // what follows when it ends
  struct check check;
  char host[16];
  char prefix[BASE_URL_PATH_BYTES_MAX + 1];
  uint16_t port;  // 0: not known
};

// Reads a manifest. Returns NULL if its program can be started, else what is wrong.
const char *program_take(struct program *program, const struct json *manifest);
// Reads base_url and health_check only, for a program that an init of the root disk starts. Returns false if base_url
// cannot be used.
bool program_take_address(struct program *program, const struct json *manifest);

#endif
