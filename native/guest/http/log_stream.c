// guest: the log of the workload as a stream of server-sent events, with a heartbeat that finds clients that are gone.
#include "http/log_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "workload/log_ring.h"

#define HEARTBEAT_MS 15000

static void fill_lines(struct connection *connection) {
  struct flow *down = &connection->down;
  const struct log_line *line;
  // The maximum length of what surrounds a line.
  const size_t frame = 128;
  while ((line = log_from(connection->next_line)) != NULL) {
    // A character with escapes has up to six bytes.
    if (RELAY_BYTES - down->end < (size_t)line->length * 6 + frame) break;
    down->end += (size_t)snprintf(down->data + down->end, RELAY_BYTES - down->end,
                                  "id: %llu\ndata: {\"stream\":\"%s\",\"timestamp\":\"%s\",\"line\":\"",
                                  (unsigned long long)line->number, line->stream, line->time);
    down->end = json_escape(down->data, RELAY_BYTES, down->end, line->text, line->length);
    down->end += (size_t)snprintf(down->data + down->end, RELAY_BYTES - down->end, "\"}\n\n");
    connection->next_line = line->number + 1;
  }
}

// Continues while the client takes everything. After that the loop reports when it does.
void log_stream_send(struct connection *connection) {
  do {
    fill_lines(connection);
    connection_send(connection);
  } while (connection->used && connection->down.end == 0 && log_from(connection->next_line) != NULL);
}

static void heartbeat(void *context) {
  struct connection *connection = context;
  struct flow *down = &connection->down;
  // The client has taken nothing since the last heartbeat: it is gone or stuck.
  if (down->end > 0 && !down->moved) return connection_close(connection);
  down->moved = false;
  loop_timer(HEARTBEAT_MS, heartbeat, connection);
  if (down->end > 0) return;
  down->end = (size_t)snprintf(down->data, RELAY_BYTES, ": heartbeat\n\n");
  connection_send(connection);
}

void log_stream_begin(struct connection *connection, const struct request *request) {
  const char *query = request->target + request->path_length;
  const char *tail = strstr(query, "tail=");
  const char *after = strstr(query, "after=");
  if (!flow_init(&connection->down, RELAY_BYTES)) return connection_close(connection);
  connection->mode = STREAMING;
  connection->next_line = tail != NULL ? log_tail(strtoull(tail + 5, NULL, 10)) : 0;
  if (after != NULL) connection->next_line = strtoull(after + 6, NULL, 10) + 1;
  struct flow *down = &connection->down;
  down->end = (size_t)snprintf(down->data, RELAY_BYTES,
                               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nConnection: close\r\n\r\n%s",
                               connection->head_only ? "" : ": connected\n\n");
  if (connection->head_only) {
    connection->mode = ANSWERING;
    down->ended = true;
    return connection_send(connection);
  }
  loop_cancel(connection_close, connection);
  loop_timer(HEARTBEAT_MS, heartbeat, connection);
  log_stream_send(connection);
}
