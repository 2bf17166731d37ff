// guest: what the workload prints.
#ifndef VOLANT_GUEST_OUTPUT_H
#define VOLANT_GUEST_OUTPUT_H

// Reads the output of a workload from two pipes, into the log and to the console, and closes them at their end.
void outputs_open(int out, int err);
// Reads what is left in the pipes of a workload that has ended, up to the size of a pipe: other processes may still write to
// them.
void outputs_read_rest(void);

#endif
