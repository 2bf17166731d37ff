// guest: a request handed to the workload, with its head rewritten, and then bytes in both directions until both sides have
// ended; or a connection handed to a TCP port. What one side has not taken yet is bounded, and the other side is not read
// meanwhile.
#include "http/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workload/workload.h"

// Reads the head of the answer and completes its line ends.
static bool fill_head(struct answer_head *head, struct flow *flow, int fd) {
  if (flow->ended || !flow_has_room(flow)) return true;
  // Reads into the end of the buffer and copies forward, so that there is room for bytes that are added.
  size_t most = (flow->size - flow->end) / 2;
  const char *from = flow->data + flow->size - most;
  ssize_t count = read(fd, flow->data + flow->size - most, most);
  if (count < 0) return errno == EAGAIN;
  if (count == 0) flow->ended = true;
  flow->end += head_take_answer(head, from, (size_t)count, flow->data + flow->end);
  return true;
}

static uint32_t wanted(const struct flow *in, const struct flow *out) {
  bool reads = in->data != NULL && !in->ended && flow_has_room(in);
  return (reads ? EPOLLIN : 0) | (out->start < out->end ? EPOLLOUT : 0);
}

// Reads what belongs to the request. The rest is read and discarded, so that the end of the client is seen.
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

// Moves bytes in both directions. Returns false if the client is gone.
static bool move(struct connection *connection) {
  struct flow *up = &connection->up, *down = &connection->down;
  struct answer_head *head = &connection->answer_head;
  int backend = connection->backend.fd;
  if (!fill_up(connection)) return false;
  bool answers = head->complete ? flow_fill(down, backend) : fill_head(head, down, backend);
  if (!answers) down->ended = true;
  end_wait_for_switch(connection);
  if (!flow_drain(up, backend)) {
    // The workload takes no more, but it may have answered.
    up->start = up->end = 0;
    up->ended = up->closed = true;
  }
  return true;
}

// Moves what can be moved, and sets what is watched for.
static void pump(struct connection *connection) {
  struct flow *up = &connection->up, *down = &connection->down;
  if (connection->backend_connected) {
    if (!move(connection)) return connection_close(connection);
    if (down->ended && down->end == 0 && !down->moved) {
      connection_drop_backend(connection);
      return connection_answer_error(connection, 502, "Bad Gateway", "the workload did not answer");
    }
  }
  if (!flow_drain(down, connection->client.fd)) return connection_close(connection);
  if (down->closed && (!connection->tunnels || up->closed)) return connection_end(connection);
  loop_timer(RELAY_IDLE_MS, connection_close, connection);
  if (connection->backend_connected) {
    // A hang-up would be reported repeatedly. What is left is read when the workload takes more.
    uint32_t rest = connection->hung_up && !up->closed ? EPOLLOUT : 0;
    loop_change(&connection->backend, wanted(down, up) | rest);
  }
  // Errors are always watched for: a client that is gone ends the relay.
  uint32_t events = connection->backend_connected ? wanted(up, down) : 0;
  if (connection->awaits_switch) events &= ~(uint32_t)EPOLLIN;
  loop_change(&connection->client, connection->hung_up ? 0 : EPOLLERR | events);
}

void relay_on_client(struct connection *connection, uint32_t events) {
  // A hang-up is also reported if both sides have ended and bytes are left. Then the client is not gone.
  if ((events & EPOLLERR) || ((events & EPOLLHUP) && !connection->down.closed)) {
    return connection_close(connection);
  }
  if (events & EPOLLHUP) connection->hung_up = true;
  pump(connection);
}

static void on_backend(void *context, uint32_t events) {
  struct connection *connection = context;
  if (!connection->backend_connected) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->backend.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 || (events & EPOLLERR)) {
      connection_drop_backend(connection);
      connection_answer_error(connection, 502, "Bad Gateway", "the workload does not accept connections");
      return;
    }
    connection->backend_connected = true;
    if (connection->tunnels) connection_answer_upgrade(connection);
  }
  pump(connection);
}

static void connect_backend(struct connection *connection, const char *host, uint16_t port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return connection_answer_error(connection, 502, "Bad Gateway", "no socket to the workload");
  connection->mode = RELAYING;
  connection->has_backend = true;
  int result = connect(fd, (struct sockaddr *)&to, sizeof to);
  loop_add(&connection->backend, fd, EPOLLOUT, on_backend, connection);
  loop_change(&connection->client, EPOLLERR);
  loop_timer(RELAY_IDLE_MS, connection_close, connection);
  if (result < 0 && errno != EINPROGRESS) on_backend(connection, EPOLLERR);
}

void relay_begin(struct connection *connection, const struct request *request, const char *path) {
  struct place place;
  if (!workload_address(&place.host, &place.port, &place.prefix)) {
    return connection_answer_error(connection, 502, "Bad Gateway", "there is no workload with a base_url");
  }
  struct flow *up = &connection->up;
  if (!flow_init(up, RELAY_BYTES) || !flow_init(&connection->down, RELAY_BYTES)) {
    return connection_close(connection);
  }
  struct request_body body;
  if (!head_read_body(connection->in, &body)) {
    return connection_answer_error(connection, 400, "Bad Request", "the length of the body is not clear");
  }
  size_t rest = connection->in_length - request->head_length;
  // The protocol of these bytes is not known yet.
  if (body.switches && rest > 0) {
    return connection_answer_error(connection, 400, "Bad Request", "bytes follow a request for another protocol");
  }
  if (rest > body.length) rest = body.length;
  connection->awaits_switch = body.switches;
  connection->up_left = body.length == SIZE_MAX ? SIZE_MAX : body.length - rest;
  up->end = head_for_workload(connection->in, &place, request->method, path, body.switches, up->data,
                              RELAY_BYTES - rest);
  if (up->end == 0) return connection_answer_error(connection, 431, "Headers Too Large", "the head is too large");
  memcpy(up->data + up->end, connection->in + request->head_length, rest);
  up->end += rest;
  connect_backend(connection, place.host, place.port);
}

void tunnel_begin(struct connection *connection, const struct request *request, uint16_t port) {
  struct flow *up = &connection->up;
  if (!flow_init(up, RELAY_BYTES) || !flow_init(&connection->down, RELAY_BYTES)) return connection_close(connection);
  up->end = connection->in_length - request->head_length;
  memcpy(up->data, connection->in + request->head_length, up->end);
  connection->tunnels = true;
  connection->up_left = SIZE_MAX;
  connect_backend(connection, "127.0.0.1", port);
}
