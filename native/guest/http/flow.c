// guest: a bounded buffer for bytes on their way from one descriptor to another.
#include "http/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

bool flow_init(struct flow *flow, size_t size) {
  flow->data = malloc(size);
  flow->size = flow->data == NULL ? 0 : size;
  return flow->data != NULL;
}

bool flow_has_room(const struct flow *flow) {
  return flow->size - flow->end >= 2;
}

bool flow_fill(struct flow *flow, int fd) {
  if (flow->ended || !flow_has_room(flow)) return true;
  ssize_t count = read(fd, flow->data + flow->end, flow->size - flow->end);
  if (count < 0) return errno == EAGAIN;
  if (count == 0) flow->ended = true;
  flow->end += (size_t)count;
  return true;
}

bool flow_drain(struct flow *flow, int fd) {
  while (flow->start < flow->end) {
    ssize_t count = send(fd, flow->data + flow->start, flow->end - flow->start, MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN;
    flow->start += (size_t)count;
    flow->moved = true;
  }
  flow->start = flow->end = 0;
  if (flow->ended && !flow->closed) {
    flow->closed = true;
    shutdown(fd, SHUT_WR);
  }
  return true;
}
