// guest: the kernel command line as keys and values.
#ifndef VOLANT_GUEST_CMDLINE_H
#define VOLANT_GUEST_CMDLINE_H

#include <stdbool.h>

// Reads /proc/cmdline.
void cmdline_load(void);
// Uses a text instead of /proc/cmdline.
void cmdline_parse(const char *text);
// The value of the first argument `key=value`, or NULL. Valid until the command line is loaded again.
const char *cmdline_value(const char *key);
// Whether there is an argument that is exactly this word.
bool cmdline_has(const char *word);

#endif
