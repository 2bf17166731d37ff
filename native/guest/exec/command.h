// guest: a request to run a program: what is run, and how the process becomes it.
#ifndef VOLANT_GUEST_COMMAND_H
#define VOLANT_GUEST_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/manifest_limits.h"

#define COMMAND_ID_BYTES_MAX 32
#define COMMAND_USER_BYTES_MAX 128
// Beside those that a request names: PATH, HOME, USER, LOGNAME, TERM.
#define COMMAND_VARIABLES_ADDED 5
#define COMMAND_FAILURE_BYTES 200
#define COMMAND_OUTPUT_BYTES_MAX (16 * 1024 * 1024)

// Texts belong to the JSON, except those of `variables`, which are allocated.
struct command {
  const char *id;
  char *arguments[ARGUMENTS_MAX + 1];
  char *variables[VARIABLES_MAX + COMMAND_VARIABLES_ADDED + 1];
  size_t variable_count;
  const char *directory, *user;  // the user may be NULL: root
  bool tty, takes_input;
  unsigned rows, columns;
  int timeout_ms, kill_after_ms;  // a timeout of 0: none
  size_t output_bytes_max;
};

// What a process is connected to.
struct command_files {
  int input, output, error;
  int report;  // gets the reason if the program cannot be executed
};

// Reads a request. Returns NULL if it can be used, else what is wrong.
const char *command_take(struct command *command, const struct json *request);
// Writes the arguments as members of a JSON array, and leaves out what does not fit.
void command_describe(const struct command *command, char *buffer, size_t size);
// Frees what command_take has allocated.
void command_free(struct command *command);
// Executes the program in the calling process, which was forked for it. On failure it writes the exit status as one byte and
// a sentence to `report`, and exits: 127 if there is no such program, 126 if it cannot be executed, 125 for the rest.
void command_become(struct command *command, const struct command_files *files) __attribute__((noreturn));

#endif
