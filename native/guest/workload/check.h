// guest: how a manifest wants its workload to be checked.
#ifndef VOLANT_GUEST_CHECK_H
#define VOLANT_GUEST_CHECK_H

#include <stdint.h>

#include "base/json.h"
#include "base/manifest_limits.h"

// CHECK_LISTEN is for manifests without a check: the port of base_url must listen.
enum check_type { CHECK_NONE, CHECK_LISTEN, CHECK_HTTP, CHECK_TCP, CHECK_EXEC };

struct check {
  enum check_type type;
  const char *wrong;     // why the check cannot be done, or NULL
  const char *endpoint;  // of CHECK_HTTP: path and query
  uint16_t port;         // 0: not known
  char *command[HEALTH_COMMAND_ARGUMENTS_MAX + 1];
  int start_ms;     // checks that fail within this time after the start do not count
  int interval_ms;  // between two checks
  int timeout_ms;   // of one check
  int retries;      // checks that must fail in a row
};

// The names of the types, in the order of the enum.
extern const char *const check_names[];
// Reads health_check of a manifest, whose texts the result refers to. `base_port` is the port of base_url, for a check
// without one.
void check_take(struct check *check, const struct json *manifest, uint16_t base_port);

#endif
