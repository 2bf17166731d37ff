// guest: a connection handed to a UDP port of the guest. On the connection each datagram has its length in front: two bytes, the
// more significant one first. Datagrams that cannot be delivered are lost.
#include "http/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PREFIX_BYTES 2
#define DATAGRAM_BYTES_MAX 65535
// One byte more than the largest datagram, because a flow is read only while it has room for two bytes.
#define FLOW_BYTES (PREFIX_BYTES + DATAGRAM_BYTES_MAX + 1)

// Sends complete datagrams and moves the rest to the front.
static void send_datagrams(struct flow *flow, int fd) {
  while (flow->end - flow->start >= PREFIX_BYTES) {
    const unsigned char *frame = (const unsigned char *)flow->data + flow->start;
    size_t length = (size_t)frame[0] << 8 | frame[1];
    if (flow->end - flow->start < PREFIX_BYTES + length) break;
    // A failure does not end the flow: nobody listens, or the datagram is too large.
    send(fd, frame + PREFIX_BYTES, length, MSG_NOSIGNAL);
    flow->start += PREFIX_BYTES + length;
  }
  flow->end -= flow->start;
  memmove(flow->data, flow->data + flow->start, flow->end);
  flow->start = 0;
}

// Receives one datagram. The buffer has room for the largest.
static void receive_datagram(struct flow *flow, int fd) {
  ssize_t length = recv(fd, flow->data + PREFIX_BYTES, DATAGRAM_BYTES_MAX, 0);
  // An error may also belong to a datagram that was sent before.
  if (length < 0) return;
  flow->data[0] = (char)(length >> 8);
  flow->data[1] = (char)length;
  flow->end = PREFIX_BYTES + (size_t)length;
}

static void pump(struct connection *connection) {
  struct flow *up = &connection->up, *down = &connection->down;
  if (!flow_fill(up, connection->client.fd)) return connection_close(connection);
  send_datagrams(up, connection->backend.fd);
  if (up->ended) return connection_close(connection);
  if (down->end == 0) receive_datagram(down, connection->backend.fd);
  if (!flow_drain(down, connection->client.fd)) return connection_close(connection);
  loop_timer(RELAY_IDLE_MS, connection_close, connection);
  loop_change(&connection->backend, down->end == 0 ? EPOLLIN : 0);
  loop_change(&connection->client, EPOLLERR | EPOLLIN | (down->end > 0 ? EPOLLOUT : 0));
}

void datagrams_on_client(struct connection *connection, uint32_t events) {
  // A hang-up is also reported if both sides have ended and bytes are left. Then the client is not gone.
  if ((events & EPOLLERR) || ((events & EPOLLHUP) && !connection->down.closed)) {
    return connection_close(connection);
  }
  pump(connection);
}

static void on_backend(void *context, uint32_t events) {
  (void)events;
  pump(context);
}

void datagrams_begin(struct connection *connection, const struct request *request, uint16_t port) {
  struct flow *up = &connection->up;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!flow_init(up, FLOW_BYTES) || !flow_init(&connection->down, FLOW_BYTES)) {
    return connection_close(connection);
  }
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
    if (fd >= 0) close(fd);
    return connection_answer_error(connection, 502, "Bad Gateway", "no socket to the port");
  }
  up->end = connection->in_length - request->head_length;
  memcpy(up->data, connection->in + request->head_length, up->end);
  connection->mode = RELAYING;
  connection->datagrams = connection->has_backend = connection->backend_connected = true;
  loop_add(&connection->backend, fd, EPOLLIN, on_backend, connection);
  connection_answer_upgrade(connection);
  pump(connection);
}
