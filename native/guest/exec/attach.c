// guest: connections of the daemon to one exec. A connection that follows the output holds the program back while it does not
// read. One that does not read for long is closed.
#include "exec/attach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "exec/describe.h"
#include "exec/frames.h"
#include "http/flow.h"

#define UP_BYTES 16384
#define DOWN_BYTES 32768
#define STALL_MS 300000
#define TAKEN_BYTES 9
#define OFFSET_BYTES 8
// One event moves this many pieces at most, so that others have their turn.
#define ROUNDS_MAX 8

struct attachment {
  struct connection *connection;
  struct exec *exec;  // NULL: it was removed
  struct attachment *next;
  struct frame_reader reader;
  bool wants[2];
  bool follows, is_late;
  uint64_t from[2], until[2];
  uint64_t taken;      // bytes of input
  unsigned asks;       // how often the daemon has asked for `taken`
  bool owes_taken;     // input was taken, or closed, and the daemon has not been told
  bool input_waits;    // until the program reads
  bool has_end;        // the last frame was written
};

static struct attachment *attachments;

// ---- what the program may not lose

// A reader that follows holds back what it has not got.
static void update_holds(struct exec *exec) {
  for (int i = 0; i < 2; i++) {
    struct exec_output *output = &exec->outputs[i];
    output->is_held = false;
    for (const struct attachment *each = attachments; each != NULL; each = each->next) {
      if (each->exec != exec || !each->wants[i] || !each->follows || each->is_late) continue;
      if (!output->is_held || each->from[i] < output->held_from) output->held_from = each->from[i];
      output->is_held = true;
    }
  }
}

// ---- from the daemon

static void close_input(struct attachment *attachment) {
  if (attachment->exec->input_open) attachment->owes_taken = true;
  exec_close_input(attachment->exec);
}

// Returns how many bytes are done. Input that nobody can read any more is done, too.
static size_t take_input(struct attachment *attachment, const char *bytes, size_t length) {
  ssize_t count = exec_write_input(attachment->exec, bytes, length);
  attachment->input_waits = count == 0;
  if (count > 0) {
    attachment->taken += (uint64_t)count;
    attachment->owes_taken = true;
  }
  size_t done = count < 0 ? length : (size_t)count;
  frame_took(&attachment->reader, done);
  return done;
}

static void obey(struct attachment *attachment, const struct frame *frame) {
  struct exec *exec = attachment->exec;
  if (frame->type == FRAME_CLOSE) close_input(attachment);
  if (frame->type == FRAME_SIZE) exec_resize(exec, frame->rows, frame->columns);
  if (frame->type == FRAME_SIGNAL) exec_signal(exec, (int)frame->signal);
  if (frame->type == FRAME_ASK) attachment->asks++;
}

// Returns false if the daemon does not speak the protocol.
static bool take_frames(struct attachment *attachment) {
  struct flow *up = &attachment->connection->up;
  attachment->input_waits = false;
  while (!attachment->input_waits) {
    size_t done;
    struct frame frame;
    enum frame_result result = frame_read(&attachment->reader, up->data + up->start, up->end - up->start, &done, &frame);
    up->start += done;
    if (result == FRAME_BAD) return false;
    if (result == FRAME_MORE) break;
    if (result == FRAME_IS_INPUT) up->start += take_input(attachment, up->data + up->start, frame.input_length);
    if (result == FRAME_IS_WHOLE) obey(attachment, &frame);
  }
  up->end -= up->start;
  memmove(up->data, up->data + up->start, up->end);
  up->start = 0;
  return true;
}

// ---- to the daemon

static char *room_for(struct flow *down, size_t length) {
  return down->size - down->end >= FRAME_HEAD_BYTES + length ? down->data + down->end + FRAME_HEAD_BYTES : NULL;
}

static void put_frame(struct flow *down, enum frame_answer type, size_t length) {
  frame_write_head(down->data + down->end, type, length);
  down->end += FRAME_HEAD_BYTES + length;
}

// The order of taken input is the order of frames, so one answer is enough for several questions.
static void put_taken(struct attachment *attachment) {
  struct flow *down = &attachment->connection->down;
  char *to = room_for(down, TAKEN_BYTES);
  if (to == NULL || attachment->asks == 0) return;
  frame_write_number(to, attachment->taken);
  to[8] = attachment->exec->input_open ? 1 : 0;
  put_frame(down, FRAME_TAKEN, TAKEN_BYTES);
  attachment->asks = 0;
  attachment->owes_taken = false;
}

static void put_output(struct attachment *attachment, int index) {
  struct flow *down = &attachment->connection->down;
  struct ring *ring = &attachment->exec->outputs[index].ring;
  uint64_t *from = &attachment->from[index];
  if (!attachment->wants[index] || *from >= attachment->until[index]) return;
  char *to = room_for(down, OFFSET_BYTES + 1);
  if (to == NULL) return;
  size_t room = down->size - down->end - FRAME_HEAD_BYTES - OFFSET_BYTES;
  size_t length = ring_read(ring, from, to + OFFSET_BYTES, room);
  if (length == 0) return;
  frame_write_number(to, *from);
  put_frame(down, index == 0 ? FRAME_STDOUT : FRAME_STDERR, OFFSET_BYTES + length);
  *from += length;
}

// Output is sent now, or only after the end.
static bool is_due(const struct attachment *attachment) {
  return !attachment->is_late || attachment->exec->is_over;
}

static bool has_all(const struct attachment *attachment) {
  const struct exec *exec = attachment->exec;
  for (int i = 0; i < 2; i++) {
    uint64_t end = exec->outputs[i].ring.end;
    if (attachment->until[i] < end) end = attachment->until[i];
    if (attachment->wants[i] && attachment->from[i] < end) return false;
  }
  return true;
}

static void put_end(struct attachment *attachment) {
  struct flow *down = &attachment->connection->down;
  bool is_last = attachment->exec->is_over || !attachment->follows;
  if (!is_last || !has_all(attachment) || attachment->has_end) return;
  // A program may end by the input before the daemon's question for it is here. Its answer would come too late.
  if (attachment->owes_taken) {
    attachment->asks++;
    put_taken(attachment);
  }
  if (attachment->asks > 0) return;
  char *to = room_for(down, DESCRIPTION_BYTES_MAX);
  if (to == NULL) return;
  put_frame(down, FRAME_END, describe_exec(attachment->exec, to, DESCRIPTION_BYTES_MAX));
  attachment->has_end = true;
  down->ended = true;
}

static void fill(struct attachment *attachment) {
  put_taken(attachment);
  for (int i = 0; i < 2 && is_due(attachment); i++) put_output(attachment, i);
  put_end(attachment);
}

// ---- life

static void release(struct connection *connection) {
  struct attachment *attachment = connection->owner;
  for (struct attachment **at = &attachments; *at != NULL; at = &(*at)->next) {
    if (*at != attachment) continue;
    *at = attachment->next;
    break;
  }
  struct exec *exec = attachment->exec;
  connection->owner = NULL;
  connection->on_close = NULL;
  free(attachment);
  if (exec == NULL) return;
  update_holds(exec);
  exec_resume(exec);
}

static void watch(struct attachment *attachment) {
  struct connection *connection = attachment->connection;
  struct flow *up = &connection->up, *down = &connection->down;
  bool reads = !up->ended && flow_has_room(up) && !attachment->input_waits;
  loop_change(&connection->client, EPOLLERR | (reads ? EPOLLIN : 0) | (down->start < down->end ? EPOLLOUT : 0));
}

// Returns false if the connection is closed, or ending.
static bool pump(struct attachment *attachment) {
  struct connection *connection = attachment->connection;
  struct exec *exec = attachment->exec;
  struct flow *up = &connection->up, *down = &connection->down;
  for (int round = 0; round < ROUNDS_MAX; round++) {
    bool is_broken = !flow_fill(up, connection->client.fd) || !take_frames(attachment);
    if (is_broken) {
      connection_close(connection);
      return false;
    }
    fill(attachment);
    bool had = down->start < down->end;
    if (!flow_drain(down, connection->client.fd)) {
      connection_close(connection);
      return false;
    }
    if (down->closed) {
      release(connection);
      connection_end(connection);
      return false;
    }
    update_holds(exec);
    exec_resume(exec);
    if (!had || down->start < down->end) break;
  }
  watch(attachment);
  // More is there, and the client takes it: the loop returns to it when others had their turn.
  bool has_more = is_due(attachment) && (!has_all(attachment) || exec->is_over);
  if (down->end == 0 && has_more) {
    loop_change(&connection->client, connection->client.events | EPOLLOUT);
  }
  return true;
}

static void on_events(struct connection *connection, uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) return connection_close(connection);
  pump(connection->owner);
}

static void look_for_stall(void *context) {
  struct connection *connection = context;
  struct flow *down = &connection->down;
  if (down->end > 0 && !down->moved) return connection_close(connection);
  down->moved = false;
  loop_timer(STALL_MS, look_for_stall, connection);
}

void attach_progress(struct exec *exec) {
  struct attachment *next;
  for (struct attachment *each = attachments; each != NULL; each = next) {
    next = each->next;
    if (each->exec != exec) continue;
    if (exec->used) {
      // One that is being written to continues when the client takes more.
      if (each->connection->down.end == 0 || each->input_waits) pump(each);
      continue;
    }
    each->exec = NULL;
    connection_close(each->connection);
  }
}

// The number that a parameter has. Returns false if there is none.
static bool number_of(const char *query, const char *name, uint64_t *number) {
  const char *at = strstr(query, name);
  if (at == NULL) return false;
  *number = strtoull(at + strlen(name), NULL, 10);
  return true;
}

void attach_begin(struct connection *connection, const struct request *request, struct exec *exec) {
  const char *query = request->target + request->path_length;
  struct attachment *attachment = calloc(1, sizeof *attachment);
  bool is_allocated = attachment != NULL && flow_init(&connection->up, UP_BYTES) && flow_init(&connection->down, DOWN_BYTES);
  if (!is_allocated) {
    free(attachment);
    return connection_close(connection);
  }
  *attachment = (struct attachment){.connection = connection, .exec = exec, .next = attachments};
  attachment->wants[0] = number_of(query, "stdout=", &attachment->from[0]);
  attachment->wants[1] = number_of(query, "stderr=", &attachment->from[1]);
  attachment->is_late = strstr(query, "late") != NULL;
  attachment->follows = attachment->is_late || strstr(query, "follow") != NULL;
  for (int i = 0; i < 2; i++) attachment->until[i] = attachment->follows ? UINT64_MAX : exec->outputs[i].ring.end;
  struct flow *up = &connection->up;
  size_t rest = connection->in_length - request->head_length;
  up->end = rest < UP_BYTES ? rest : UP_BYTES;
  memcpy(up->data, connection->in + request->head_length, up->end);
  attachments = attachment;
  connection->mode = OWNED;
  connection->owner = attachment;
  connection->on_events = on_events;
  connection->on_close = release;
  connection_answer_upgrade(connection);
  loop_cancel(connection_close, connection);
  loop_timer(STALL_MS, look_for_stall, connection);
  pump(attachment);
}
