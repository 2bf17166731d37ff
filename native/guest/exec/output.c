// guest: reading the output of a program. exec.c decides when.
#include "exec/output.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define READ_BYTES 16384
#define TERMINAL_REST_BYTES 262144

void output_close(struct exec_output *output) {
  if (!output->open) return;
  loop_remove(&output->source);
  // The master of a terminal is also its input, and is closed with the exec.
  close(output->source.fd);
  output->open = false;
}

size_t output_room(struct exec_output *output) {
  if (!output->is_held) return READ_BYTES;
  return ring_room(&output->ring, output->held_from);
}

uint32_t output_events(struct exec_output *output) {
  if (output_room(output) == 0) return 0;
  // epoll would repeat the hang-up of a deserted terminal without end. Its edge is the next output.
  return output->is_deserted ? EPOLLIN | EPOLLET : EPOLLIN;
}

void output_keep_rest(struct exec_output *output, bool is_terminal) {
  int waiting = 0;
  if (!output->open) return;
  // The kernel counts the bytes in a pipe, but not all that are on their way through a terminal.
  if (is_terminal || ioctl(output->source.fd, FIONREAD, &waiting) < 0) waiting = TERMINAL_REST_BYTES;
  output->rest = (size_t)waiting;
}

bool output_read(struct exec_output *output, bool is_terminal, bool has_ended) {
  char text[READ_BYTES];
  size_t room = output_room(output);
  if (room == 0) {
    loop_change(&output->source, 0);
    return false;
  }
  if (room > sizeof text) room = sizeof text;
  if (has_ended && room > output->rest) room = output->rest;
  ssize_t count = room > 0 ? read(output->source.fd, text, room) : 0;
  // The master of a terminal that nobody has open fails with EIO. Closing it while the program runs would send SIGHUP.
  output->is_deserted = is_terminal && !has_ended && count < 0 && errno == EIO;
  if (output->is_deserted) return false;
  if (count <= 0) {
    if (count == 0 || errno != EAGAIN || has_ended) output_close(output);
    return false;
  }
  ring_append(&output->ring, text, (size_t)count);
  if (has_ended) output->rest -= (size_t)count;
  return true;
}
