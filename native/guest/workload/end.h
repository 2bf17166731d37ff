// guest: what the end of the workload's process means.
#ifndef VOLANT_GUEST_END_H
#define VOLANT_GUEST_END_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "workload/launch.h"
#include "workload/manifest.h"

struct end {
  // -1: it has not ended in this way.
  int exit_code, exit_signal;
  char text[LAUNCH_FAILURE_BYTES];
};

// Describes the end of a process with this status of waitpid. `launch_failure` says why its program could not be executed, or
// is empty.
void end_describe(struct end *end, int status, const char *launch_failure, bool lacked_memory);
// Writes why the workload ended, for people. `group` is its process group, `other_group` that of its health check.
void end_explain(const struct end *end, pid_t group, pid_t other_group, char *reason, size_t size);
// Whether the workload is not started again after this end.
bool end_is_final(const struct end *end, enum restart_policy policy);

#endif
