// guest: what the end of the workload's process means: its description, and whether the workload is started again.
// workload.c acts on it.
#include "workload/end.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

void end_describe(struct end *end, int status, const char *launch_failure, bool lacked_memory) {
  end->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  end->exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1;
  if (launch_failure[0] != '\0') {
    snprintf(end->text, sizeof end->text, "%s", launch_failure);
  } else if (WIFSIGNALED(status)) {
    snprintf(end->text, sizeof end->text, "killed by signal %d", WTERMSIG(status));
  } else {
    snprintf(end->text, sizeof end->text, "exit status %d", WEXITSTATUS(status));
  }
  if (!lacked_memory) return;
  size_t length = strlen(end->text);
  snprintf(end->text + length, sizeof end->text - length, ": the guest ran out of memory");
}

void end_explain(const struct end *end, pid_t group, pid_t other_group, char *reason, size_t size) {
  unsigned left = end->exit_code == 0 ? launch_left_behind(group, other_group) : 0;
  if (left > 0) {
    snprintf(reason, size,
             "the entrypoint ended with status 0 and left %u processes in the background: it must stay in "
             "the foreground, or it is started again and again", left);
  } else {
    snprintf(reason, size, "the entrypoint ended: %s", end->text);
  }
}

bool end_is_final(const struct end *end, enum restart_policy policy) {
  return policy == RESTART_NEVER || (policy == RESTART_ON_FAILURE && end->exit_code == 0);
}
