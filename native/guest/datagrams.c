// guest: a connection handed to a UDP port of the guest. On the connection each datagram has its length in
// front, two bytes with the larger one first; what cannot be delivered is lost, as datagrams are.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"

#define PREFIX_BYTES 2
#define DATAGRAM_BYTES_MAX 65535
// The largest and one byte: a flow is not read while it has no room for two.
#define FLOW_BYTES (PREFIX_BYTES + DATAGRAM_BYTES_MAX + 1)

// Sends what is complete and moves the rest to the front.
static void send_datagrams(struct flow *flow, int fd) {
  while (flow->end - flow->start >= PREFIX_BYTES) {
    const unsigned char *frame = (const unsigned char *)flow->data + flow->start;
    size_t length = (size_t)frame[0] << 8 | frame[1];
    if (flow->end - flow->start < PREFIX_BYTES + length) break;
    // Nobody listens, or it is too large: neither ends the flow.
    send(fd, frame + PREFIX_BYTES, length, MSG_NOSIGNAL);
    flow->start += PREFIX_BYTES + length;
  }
  flow->end -= flow->start;
  memmove(flow->data, flow->data + flow->start, flow->end);
  flow->start = 0;
}

// One at a time: the buffer has room for the largest.
static void receive_datagram(struct flow *flow, int fd) {
  ssize_t length = recv(fd, flow->data + PREFIX_BYTES, DATAGRAM_BYTES_MAX, 0);
  // Also what is told of one that was sent before.
  if (length < 0) return;
  flow->data[0] = (char)(length >> 8);
  flow->data[1] = (char)length;
  flow->end = PREFIX_BYTES + (size_t)length;
}

void datagrams_pump(struct connection *connection) {
  struct flow *up = &connection->up, *down = &connection->down;
  if (!flow_fill(up, connection->client.fd)) return close_connection(connection);
  send_datagrams(up, connection->backend.fd);
  if (up->ended) return close_connection(connection);
  if (down->end == 0) receive_datagram(down, connection->backend.fd);
  if (!flow_drain(down, connection->client.fd)) return close_connection(connection);
  loop_timer(RELAY_IDLE_MS, close_connection, connection);
  loop_change(&connection->backend, down->end == 0 ? EPOLLIN : 0);
  loop_change(&connection->client, EPOLLERR | EPOLLIN | (down->end > 0 ? EPOLLOUT : 0));
}

static void on_backend(void *context, uint32_t events) {
  (void)events;
  datagrams_pump(context);
}

void datagrams_begin(struct connection *connection, const struct request *request, uint16_t port) {
  struct flow *up = &connection->up;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!flow_init(up, FLOW_BYTES) || !flow_init(&connection->down, FLOW_BYTES)) {
    return close_connection(connection);
  }
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
    if (fd >= 0) close(fd);
    return answer_error(connection, 502, "Bad Gateway", "no socket to the port");
  }
  up->end = connection->in_length - request->head_length;
  memcpy(up->data, connection->in + request->head_length, up->end);
  connection->mode = RELAYING;
  connection->datagrams = connection->has_backend = connection->backend_connected = true;
  loop_add(&connection->backend, fd, EPOLLIN, on_backend, connection);
  relay_answer_upgrade(connection);
  datagrams_pump(connection);
}
