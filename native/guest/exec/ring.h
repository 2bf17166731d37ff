// guest: the newest bytes of one output of an exec. Bytes are counted from the start of the program, so that a reader can
// back with the number of the next byte.
#ifndef VOLANT_GUEST_RING_H
#define VOLANT_GUEST_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_BYTES_MIN 4096

struct ring {
  char *data;
  size_t size, limit;   // allocated, and the maximum
  uint64_t start, end;  // the bytes that are kept: from `start` on, before `end`
};

// Finds out how much all rings together may allocate.
void ring_begin(void);
size_t ring_bytes_max(void);
// What all rings have allocated.
size_t ring_bytes(void);
// Allocates RING_BYTES_MIN. `limit` is at least that. Returns false if the budget or the memory is used up.
bool ring_init(struct ring *ring, size_t limit);
void ring_free(struct ring *ring);
// How many bytes can be added without losing the byte `from` or a later one. Allocates more if there is little room, up to
// the limit and the budget.
size_t ring_room(struct ring *ring, uint64_t from);
// Adds bytes. The oldest are lost where there is no room.
void ring_append(struct ring *ring, const char *bytes, size_t length);
// Copies bytes from `from` on, which is moved to `start` if it is before. Returns their number.
size_t ring_read(const struct ring *ring, uint64_t *from, char *out, size_t size);

#endif
