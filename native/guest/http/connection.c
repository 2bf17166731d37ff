// guest: one connection of the HTTP server: its state, its end, and answers that fit into a buffer.
#include "http/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTIONS_MAX 112
#define WRITE_TIMEOUT_MS 30000
#define LINGER_MS 2000
#define HEAD_BYTES 256

static struct connection connections[CONNECTIONS_MAX];

// A connection that is not in use. If there is none, one whose client has got everything is closed.
static struct connection *find_free(void) {
  struct connection *ending = NULL;
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    if (!connections[i].used) return &connections[i];
    if (connections[i].mode == ENDING) ending = &connections[i];
  }
  if (ending != NULL) connection_close(ending);
  return ending;
}

struct connection *connection_take(void) {
  struct connection *connection = find_free();
  char *in = connection != NULL ? malloc(HEAD_BYTES_MAX + 1) : NULL;
  if (in == NULL) return NULL;
  *connection = (struct connection){.used = true, .mode = READING, .in = in};
  return connection;
}

void connection_each(enum mode mode, void (*visit)(struct connection *connection)) {
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    if (connections[i].used && connections[i].mode == mode) visit(&connections[i]);
  }
}

unsigned connection_count(void (*service)(struct connection *connection, const struct request *request)) {
  unsigned count = 0;
  for (int i = 0; i < CONNECTIONS_MAX; i++) count += connections[i].used && connections[i].service == service;
  return count;
}

void connection_drop_backend(struct connection *connection) {
  if (!connection->has_backend) return;
  loop_remove(&connection->backend);
  close(connection->backend.fd);
  connection->has_backend = false;
}

void connection_close(void *context) {
  struct connection *connection = context;
  if (connection->on_close != NULL) connection->on_close(connection);
  loop_cancel_all(connection);
  loop_remove(&connection->client);
  close(connection->client.fd);
  connection_drop_backend(connection);
  free(connection->in);
  free(connection->body);
  free(connection->up.data);
  free(connection->down.data);
  memset(connection, 0, sizeof *connection);
}

void connection_end(struct connection *connection) {
  connection->mode = ENDING;
  connection_drop_backend(connection);
  loop_cancel_all(connection);
  loop_change(&connection->client, EPOLLIN);
  loop_timer(LINGER_MS, connection_close, connection);
}

void connection_send(struct connection *connection) {
  struct flow *down = &connection->down;
  if (!flow_drain(down, connection->client.fd)) return connection_close(connection);
  if (down->closed) return connection_end(connection);
  // Reading continues so that the end of the client is seen.
  loop_change(&connection->client, EPOLLIN | (down->start < down->end ? EPOLLOUT : 0));
}

void connection_discard(struct connection *connection) {
  char text[4096];
  ssize_t count = read(connection->client.fd, text, sizeof text);
  if (count == 0 || (count < 0 && errno != EAGAIN)) connection_close(connection);
}

void connection_answer(struct connection *connection, int status, const char *reason, const char *type,
                       const char *body) {
  connection->mode = ANSWERING;
  size_t length = strlen(body);
  if (connection->down.data == NULL && !flow_init(&connection->down, RELAY_BYTES)) {
    connection_close(connection);
    return;
  }
  struct flow *down = &connection->down;
  char later[40] = "";
  int seconds = connection->retry_after_s;
  if (seconds > 0) snprintf(later, sizeof later, "Retry-After: %d\r\n", seconds);
  int head = snprintf(down->data, RELAY_BYTES,
                      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n",
                      status, reason, type, length, later);
  down->start = 0;
  down->end = (size_t)head;
  if (!connection->head_only && down->end + length <= RELAY_BYTES) {
    memcpy(down->data + down->end, body, length);
    down->end += length;
  }
  down->ended = true;
  loop_timer(WRITE_TIMEOUT_MS, connection_close, connection);
  connection_send(connection);
}

void connection_answer_bytes(struct connection *connection, int status, const char *reason, const char *type,
                             const char *body, size_t length) {
  struct flow *down = &connection->down;
  free(down->data);
  if (!flow_init(down, length + HEAD_BYTES)) return connection_close(connection);
  connection->mode = ANSWERING;
  int head = snprintf(down->data, down->size,
                      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                      status, reason, type, length);
  down->start = 0;
  down->end = (size_t)head;
  if (!connection->head_only) {
    memcpy(down->data + down->end, body, length);
    down->end += length;
  }
  down->ended = true;
  loop_timer(WRITE_TIMEOUT_MS, connection_close, connection);
  connection_send(connection);
}

void connection_answer_json(struct connection *connection, int status, const char *reason, const char *body, size_t length) {
  connection_answer_bytes(connection, status, reason, "application/json", body, length);
}

void connection_answer_error(struct connection *connection, int status, const char *reason, const char *why) {
  char body[512];
  snprintf(body, sizeof body, "{\"error\":\"%s\"}", why);
  connection_answer(connection, status, reason, "application/json", body);
}

void connection_answer_upgrade(struct connection *connection) {
  struct flow *down = &connection->down;
  down->end = (size_t)snprintf(down->data, down->size,
                               "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  connection->answer_head.complete = true;
}
