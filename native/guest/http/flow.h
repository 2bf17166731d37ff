// guest: a bounded buffer for bytes on their way from one descriptor to another.
#ifndef VOLANT_GUEST_FLOW_H
#define VOLANT_GUEST_FLOW_H

#include <stdbool.h>
#include <stddef.h>

struct flow {
  char *data;
  size_t size;
  size_t start, end;  // the bytes of `data` that were read and not written yet
  bool ended;   // no more will be read
  bool closed;  // the end was passed on to the writing side
  bool moved;   // the writing side has taken something
};

// Allocates the buffer, which the caller frees. Returns false if memory is short.
bool flow_init(struct flow *flow, size_t size);
// Whether there is room to read. At least two bytes, because head_take_answer may write two for one.
bool flow_has_room(const struct flow *flow);
// Reads what there is room for. Returns false if the connection is broken.
bool flow_fill(struct flow *flow, int fd);
// Writes what the descriptor takes, and passes the end on after the last byte. Returns false if the connection is broken.
bool flow_drain(struct flow *flow, int fd);

#endif
