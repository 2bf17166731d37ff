// guest: one output of a program: the agent's end of its pipe or terminal, and what was read from it last.
#ifndef VOLANT_GUEST_EXEC_OUTPUT_H
#define VOLANT_GUEST_EXEC_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "exec/ring.h"

struct exec_output {
  struct source source;
  bool open;
  // No process has the terminal open now. One may open it again.
  bool is_deserted;
  size_t rest;  // what is still to be read after the program has ended
  struct ring ring;
  // A reader that waits for each byte has everything before this one.
  bool is_held;
  uint64_t held_from;
};

// How much may be read now. A reader that waits for each byte holds the program back.
size_t output_room(struct exec_output *output);
// The events to wait for on a terminal.
uint32_t output_events(struct exec_output *output);
// Reads once. Returns false when there is nothing to read now. At the end of the output closes it: `open` is false then.
bool output_read(struct exec_output *output, bool is_terminal, bool has_ended);
// Must be called when the program has ended. What it has left in the background may keep its end open, and is not waited for.
void output_keep_rest(struct exec_output *output, bool is_terminal);
void output_close(struct exec_output *output);

#endif
