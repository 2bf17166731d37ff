// guest: the pipes or the terminal between the agent and a program that it runs.
#include "exec/ends.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHILD_ENDS 4

void ends_close(const struct ends *ends) {
  const int all[] = {ends->input, ends->outputs[0], ends->outputs[1], ends->launch};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (all[i] >= 0) close(all[i]);
  }
}

void ends_close_child(const struct ends *ends) {
  const struct command_files *child = &ends->child;
  const int all[CHILD_ENDS] = {child->input, child->output, child->error, child->report};
  for (int i = 0; i < CHILD_ENDS; i++) {
    bool is_again = false;
    for (int before = 0; before < i; before++) is_again |= all[before] == all[i];
    if (all[i] >= 0 && !is_again) close(all[i]);
  }
}

static bool open_pipe(int *read_end, int *write_end) {
  int pipe[2];
  if (pipe2(pipe, O_CLOEXEC) < 0) return false;
  *read_end = pipe[0];
  *write_end = pipe[1];
  return true;
}

static bool open_terminal(struct ends *ends) {
  int lock = 0;
  int master = ends->outputs[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ioctl(master, TIOCSPTLCK, &lock) < 0) return false;
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  ends->child.input = ends->child.output = ends->child.error = slave;
  return slave >= 0;
}

bool ends_open(struct ends *ends, const struct command *command) {
  *ends = (struct ends){-1, {-1, -1}, -1, {-1, -1, -1, -1}};
  if (!open_pipe(&ends->launch, &ends->child.report)) return false;
  if (command->tty) return open_terminal(ends);
  if (!open_pipe(&ends->outputs[0], &ends->child.output)) return false;
  if (!open_pipe(&ends->outputs[1], &ends->child.error)) return false;
  return !command->takes_input || open_pipe(&ends->child.input, &ends->input);
}
