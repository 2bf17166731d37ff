// guest: members of the JSON object that describes the workload.
#ifndef VOLANT_GUEST_REPORT_H
#define VOLANT_GUEST_REPORT_H

#include <stddef.h>
#include <stdint.h>

// Each function appends a member, with a comma in front, to an object in a buffer of `size` bytes that has `length` bytes in
// use. The buffer must have room for it. Returns the new length.
size_t report_text(char *buffer, size_t size, size_t length, const char *name, const char *text);
// Leaves out a negative number.
size_t report_number(char *buffer, size_t size, size_t length, const char *name, int number);
// The last few lines from number `first` to before `end` that the log still has, each truncated to 160 bytes.
size_t report_lines(char *buffer, size_t size, size_t length, uint64_t first, uint64_t end);

#endif
