// guest: a request handed to the workload: its head as heads.c writes it, then bytes both ways until both sides
// have ended; or the connection itself, handed to a port of the guest. What one side has not taken yet
// is bounded, and the other side is not read meanwhile.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"

bool flow_init(struct flow *flow, size_t size) {
  flow->data = malloc(size);
  flow->size = flow->data == NULL ? 0 : size;
  return flow->data != NULL;
}

// One byte may become two: see fill_head.
static bool has_room(const struct flow *flow) {
  return flow->size - flow->end >= 2;
}

bool flow_fill(struct flow *flow, int fd) {
  if (flow->ended || !has_room(flow)) return true;
  ssize_t count = read(fd, flow->data + flow->end, flow->size - flow->end);
  if (count < 0) return errno == EAGAIN;
  if (count == 0) flow->ended = true;
  flow->end += (size_t)count;
  return true;
}

// The head of the answer. Programs for CGI end its lines with a bare line feed, which many clients do
// not take.
static bool fill_head(struct answer_head *head, struct flow *flow, int fd) {
  if (flow->ended || !has_room(flow)) return true;
  // Read to the end of the buffer and copied forward, so that there is room for what is added.
  size_t most = (flow->size - flow->end) / 2;
  const char *from = flow->data + flow->size - most;
  ssize_t count = read(fd, flow->data + flow->size - most, most);
  if (count < 0) return errno == EAGAIN;
  if (count == 0) flow->ended = true;
  flow->end += head_take_answer(head, from, (size_t)count, flow->data + flow->end);
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

static uint32_t wanted(const struct flow *in, const struct flow *out) {
  bool reads = in->data != NULL && !in->ended && has_room(in);
  return (reads ? EPOLLIN : 0) | (out->start < out->end ? EPOLLOUT : 0);
}

void drop_backend(struct connection *connection) {
  if (!connection->has_backend) return;
  loop_remove(&connection->backend);
  close(connection->backend.fd);
  connection->has_backend = false;
}

// What belongs to the request; the rest is read, so that the client's end is seen, and thrown away.
static bool fill_up(struct connection *connection) {
  struct flow *up = &connection->up;
  if (connection->awaits_switch) return true;
  size_t before = up->end;
  if (!flow_fill(up, connection->client.fd)) return false;
  if (connection->up_left == SIZE_MAX) return true;
  size_t count = up->end - before;
  if (count > connection->up_left) count = connection->up_left;
  up->end = before + count;
  connection->up_left -= count;
  return true;
}

static void end_wait_for_switch(struct connection *connection) {
  if (!connection->awaits_switch || !connection->answer_head.complete) return;
  connection->awaits_switch = false;
  connection->up_left = head_switches(&connection->answer_head) ? SIZE_MAX : 0;
}

// false when the client is gone.
static bool move(struct connection *connection) {
  struct flow *up = &connection->up, *down = &connection->down;
  struct answer_head *head = &connection->answer_head;
  int backend = connection->backend.fd;
  if (!fill_up(connection)) return false;
  bool answers = head->complete ? flow_fill(down, backend) : fill_head(head, down, backend);
  if (!answers) down->ended = true;
  end_wait_for_switch(connection);
  if (!flow_drain(up, backend)) {
    // It takes no more, but it may have answered.
    up->start = up->end = 0;
    up->ended = up->closed = true;
  }
  return true;
}

void relay_pump(struct connection *connection) {
  struct flow *up = &connection->up, *down = &connection->down;
  bool relays = connection->mode == RELAYING;
  if (relays && connection->datagrams) return datagrams_pump(connection);
  if (relays && connection->backend_connected) {
    if (!move(connection)) return close_connection(connection);
    if (down->ended && down->end == 0 && !down->moved) {
      drop_backend(connection);
      return answer_error(connection, 502, "Bad Gateway", "the workload did not answer");
    }
  }
  if (!flow_drain(down, connection->client.fd)) return close_connection(connection);
  if (down->closed && (!connection->tunnels || connection->up.closed)) return end_connection(connection);
  if (relays) {
    loop_timer(RELAY_IDLE_MS, close_connection, connection);
    if (connection->backend_connected) {
      // A hang-up would be told again and again: what is left is read as the backend takes it.
      uint32_t rest = connection->hung_up && !up->closed ? EPOLLOUT : 0;
      loop_change(&connection->backend, wanted(down, up) | rest);
    }
    // An error is always waited for: a client that is gone ends the relay.
    uint32_t events = connection->backend_connected ? wanted(up, down) : 0;
    if (connection->awaits_switch) events &= ~(uint32_t)EPOLLIN;
    loop_change(&connection->client, connection->hung_up ? 0 : EPOLLERR | events);
  } else {
    // Reading goes on so that the client's end is seen; what it still sends is of no use.
    loop_change(&connection->client, EPOLLIN | (down->start < down->end ? EPOLLOUT : 0));
  }
}

// Behind it there are the guest's own bytes.
void relay_answer_upgrade(struct connection *connection) {
  struct flow *down = &connection->down;
  down->end = (size_t)snprintf(down->data, down->size,
                               "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
  connection->answer_head.complete = true;
}

static void on_backend(void *context, uint32_t events) {
  struct connection *connection = context;
  if (!connection->backend_connected) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->backend.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 || (events & EPOLLERR)) {
      drop_backend(connection);
      answer_error(connection, 502, "Bad Gateway", "the workload does not accept connections");
      return;
    }
    connection->backend_connected = true;
    if (connection->tunnels) relay_answer_upgrade(connection);
  }
  relay_pump(connection);
}

static void connect_backend(struct connection *connection, const char *host, uint16_t port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return answer_error(connection, 502, "Bad Gateway", "no socket to the workload");
  connection->mode = RELAYING;
  connection->has_backend = true;
  int result = connect(fd, (struct sockaddr *)&to, sizeof to);
  loop_add(&connection->backend, fd, EPOLLOUT, on_backend, connection);
  loop_change(&connection->client, EPOLLERR);
  loop_timer(RELAY_IDLE_MS, close_connection, connection);
  if (result < 0 && errno != EINPROGRESS) on_backend(connection, EPOLLERR);
}

void relay_begin(struct connection *connection, const struct request *request, const char *path) {
  struct place place;
  if (!workload_address(&place.host, &place.port, &place.prefix)) {
    return answer_error(connection, 502, "Bad Gateway", "there is no workload");
  }
  struct flow *up = &connection->up;
  if (!flow_init(up, RELAY_BYTES) || !flow_init(&connection->down, RELAY_BYTES)) {
    return close_connection(connection);
  }
  struct request_body body;
  if (!head_read_body(connection->in, &body)) {
    return answer_error(connection, 400, "Bad Request", "the length of the body is not clear");
  }
  size_t rest = connection->in_length - request->head_length;
  // Nobody knows yet which protocol that would be.
  if (body.switches && rest > 0) {
    return answer_error(connection, 400, "Bad Request", "bytes follow a request for another protocol");
  }
  if (rest > body.length) rest = body.length;
  connection->awaits_switch = body.switches;
  connection->up_left = body.length == SIZE_MAX ? SIZE_MAX : body.length - rest;
  up->end = head_for_workload(connection->in, &place, request->method, path, body.switches, up->data,
                              RELAY_BYTES - rest);
  if (up->end == 0) return answer_error(connection, 431, "Headers Too Large", "the head is too large");
  memcpy(up->data + up->end, connection->in + request->head_length, rest);
  up->end += rest;
  connect_backend(connection, place.host, place.port);
}

void tunnel_begin(struct connection *connection, const struct request *request, uint16_t port) {
  struct flow *up = &connection->up;
  if (!flow_init(up, RELAY_BYTES) || !flow_init(&connection->down, RELAY_BYTES)) return close_connection(connection);
  up->end = connection->in_length - request->head_length;
  memcpy(up->data, connection->in + request->head_length, up->end);
  connection->tunnels = true;
  connection->up_left = SIZE_MAX;
  connect_backend(connection, "127.0.0.1", port);
}
