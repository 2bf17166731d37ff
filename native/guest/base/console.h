// guest: the guest's console. Writing never blocks, unless it says so.
#ifndef VOLANT_GUEST_CONSOLE_H
#define VOLANT_GUEST_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

// Opens /dev/console for the agent and as descriptors 0, 1 and 2. Until then console_write discards text.
void console_open(void);
// Writes text, and queues what the console does not take at once. Returns false, and writes nothing more, if the queue
// is full.
bool console_write(const char *text, size_t length);
// Whether the queue is less than half full.
bool console_has_room(void);
// Waits, up to half a second for each step, until the queue is written.
void console_flush(void);
// Writes a line behind everything else, and waits until it is sent, up to 10 seconds. For the last line of a guest.
void console_write_last(const char *text);

#endif
