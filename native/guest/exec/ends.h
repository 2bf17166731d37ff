// guest: the pipes or the terminal between the agent and a program that it runs.
#ifndef VOLANT_GUEST_ENDS_H
#define VOLANT_GUEST_ENDS_H

#include <stdbool.h>

#include "exec/command.h"

// Descriptors of the agent and of the child; -1 for none. Those of a terminal are the same one several times.
struct ends {
  int input, outputs[2], launch;
  struct command_files child;
};

// Opens what a command needs. Returns false on failure; what was opened is then still to be closed.
bool ends_open(struct ends *ends, const struct command *command);
// Closes those of the agent.
void ends_close(const struct ends *ends);
// Closes those of the child, in the agent.
void ends_close_child(const struct ends *ends);

#endif
