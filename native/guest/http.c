// guest: the HTTP server: health, the log as a stream, and everything below /v1 handed to the
// workload. One request for each connection. A connection is a descriptor: TCP or a stream of the
// channel, which alone may use /agent.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define CONNECTIONS_MAX 64
#define HEAD_BYTES_MAX 16384
#define RELAY_BYTES (HEAD_BYTES_MAX + 4096)
#define BODY_BYTES_MAX (4 * 1024 * 1024)
#define HEAD_TIMEOUT_MS 10000
#define WRITE_TIMEOUT_MS 30000
#define RELAY_IDLE_MS 300000
#define HEARTBEAT_MS 15000
#define BACKLOG 64

enum mode { READING, RECEIVING, ANSWERING, RELAYING, STREAMING };

// What was read on one side and not yet written on the other.
struct flow {
  char *data;
  size_t start, end;
  bool ended;   // no more will be read
  bool closed;  // the other side was told so
};

struct connection {
  bool used, trusted, head_only;
  enum mode mode;
  struct source client;
  struct source backend;
  bool has_backend, backend_connected;
  char *in;
  size_t in_length;
  char *body;  // RECEIVING
  size_t body_length, body_expected;
  struct flow up, down;  // to the workload, to the client
  uint64_t next_line;    // STREAMING
};

static struct connection connections[CONNECTIONS_MAX];
static struct source listener;

static void pump(struct connection *connection);

static void close_connection(void *context) {
  struct connection *connection = context;
  loop_cancel(close_connection, connection);
  loop_remove(&connection->client);
  close(connection->client.fd);
  if (connection->has_backend) {
    loop_remove(&connection->backend);
    close(connection->backend.fd);
  }
  free(connection->in);
  free(connection->body);
  free(connection->up.data);
  free(connection->down.data);
  memset(connection, 0, sizeof *connection);
}

// ---- answers

static bool flow_init(struct flow *flow, size_t size) {
  flow->data = malloc(size);
  return flow->data != NULL;
}

static void answer(struct connection *connection, int status, const char *reason, const char *type,
                   const char *body) {
  connection->mode = ANSWERING;
  size_t length = strlen(body);
  if (connection->down.data == NULL && !flow_init(&connection->down, RELAY_BYTES)) {
    close_connection(connection);
    return;
  }
  struct flow *down = &connection->down;
  int head = snprintf(down->data, RELAY_BYTES,
                      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                      status, reason, type, length);
  down->start = 0;
  down->end = (size_t)head;
  if (!connection->head_only && down->end + length <= RELAY_BYTES) {
    memcpy(down->data + down->end, body, length);
    down->end += length;
  }
  down->ended = true;
  loop_timer(WRITE_TIMEOUT_MS, close_connection, connection);
  pump(connection);
}

static void answer_error(struct connection *connection, int status, const char *reason,
                         const char *why) {
  char body[512];
  snprintf(body, sizeof body, "{\"error\":\"%s\"}", why);
  answer(connection, status, reason, "application/json", body);
}

static void answer_health(struct connection *connection) {
  char body[1024], workload[512];
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  workload_describe(workload, sizeof workload);
  snprintf(body, sizeof body,
           "{\"status\":\"ok\",\"uptime\":\"%lld.%03lds\",\"version\":\"" AGENT_VERSION "\",\"workload\":%s}",
           (long long)up.tv_sec, up.tv_nsec / 1000000, workload);
  answer(connection, 200, "OK", "application/json", body);
}

static void answer_info(struct connection *connection) {
  char body[512], boot[64], host[65] = "";
  read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
  boot[strcspn(boot, "\n")] = '\0';
  gethostname(host, sizeof host - 1);
  snprintf(body, sizeof body,
           "{\"protocol\":1,\"version\":\"" AGENT_VERSION "\",\"boot_id\":\"%s\",\"hostname\":\"%s\",\"address\":\"%s\"}",
           boot, host, network_address());
  answer(connection, 200, "OK", "application/json", body);
}

// ---- the request's head

// The value of a header, copied and closed with a NUL; false when it is not there.
static bool header(const char *head, const char *name, char *value, size_t size) {
  size_t name_length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, name_length) != 0 || line[name_length] != ':') continue;
    const char *start = line + name_length + 1;
    while (*start == ' ' || *start == '\t') start++;
    size_t length = strcspn(start, "\r");
    if (length >= size) length = size - 1;
    memcpy(value, start, length);
    value[length] = '\0';
    return true;
  }
  return false;
}

static bool is_hop_header(const char *line, bool upgrades) {
  static const char *const names[] = {"host:", "keep-alive:", "proxy-connection:", "x-volant-api-key:"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strncasecmp(line, names[i], strlen(names[i])) == 0) return true;
  }
  return !upgrades && strncasecmp(line, "connection:", 11) == 0;
}

// Writes the head that the workload gets. Returns its length, 0 when it does not fit.
static size_t rewrite_head(const char *head, const char *method, const char *path, char *out,
                           size_t size) {
  const char *host, *prefix;
  char value[64];
  uint16_t port;
  workload_address(&host, &port, &prefix);
  bool upgrades = header(head, "Upgrade", value, sizeof value);
  const char *rest = path[0] == '\0' ? "/" : path;
  int length = snprintf(out, size, "%s %s%s%s HTTP/1.1\r\nHost: %s:%u\r\n%s", method, prefix,
                        rest[0] == '?' ? "/" : "", rest, host, port,
                        upgrades ? "" : "Connection: close\r\n");
  if (length < 0 || (size_t)length >= size) return 0;
  size_t used = (size_t)length;
  const char *line = strstr(head, "\r\n") + 2;
  while (strncmp(line, "\r\n", 2) != 0) {
    size_t line_length = strcspn(line, "\r") + 2;
    if (!is_hop_header(line, upgrades)) {
      if (used + line_length + 2 >= size) return 0;
      memcpy(out + used, line, line_length);
      used += line_length;
    }
    line += line_length;
  }
  memcpy(out + used, "\r\n", 2);
  return used + 2;
}

// ---- relaying

static void fill(struct flow *flow, int fd, bool *broken) {
  if (flow->ended || flow->end == RELAY_BYTES) return;
  ssize_t count = read(fd, flow->data + flow->end, RELAY_BYTES - flow->end);
  if (count > 0) flow->end += (size_t)count;
  else if (count == 0) flow->ended = true;
  else if (errno != EAGAIN) *broken = true;
}

static void drain(struct flow *flow, int fd, bool *broken) {
  while (flow->start < flow->end) {
    ssize_t count = send(fd, flow->data + flow->start, flow->end - flow->start, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN) *broken = true;
      return;
    }
    flow->start += (size_t)count;
  }
  flow->start = flow->end = 0;
  if (flow->ended && !flow->closed) {
    flow->closed = true;
    shutdown(fd, SHUT_WR);
  }
}

static uint32_t wanted(const struct flow *in, const struct flow *out) {
  bool reads = in->data != NULL && !in->ended && in->end < RELAY_BYTES;
  return (reads ? EPOLLIN : 0) | (out->start < out->end ? EPOLLOUT : 0);
}

// Moves what can be moved and says what to wait for.
static void pump(struct connection *connection) {
  bool broken = false;
  struct flow *up = &connection->up, *down = &connection->down;
  if (connection->mode == RELAYING && connection->backend_connected) {
    fill(up, connection->client.fd, &broken);
    fill(down, connection->backend.fd, &broken);
    drain(up, connection->backend.fd, &broken);
  }
  drain(down, connection->client.fd, &broken);
  if (broken || (down->ended && down->closed)) return close_connection(connection);
  if (connection->mode == RELAYING) {
    loop_timer(RELAY_IDLE_MS, close_connection, connection);
    if (connection->backend_connected) loop_change(&connection->backend, wanted(down, up));
    loop_change(&connection->client, connection->backend_connected ? wanted(up, down) : 0);
  } else {
    // Reading goes on so that the client's end is seen; what it still sends is of no use.
    loop_change(&connection->client, EPOLLIN | (down->start < down->end ? EPOLLOUT : 0));
  }
}

static void on_backend(void *context, uint32_t events) {
  struct connection *connection = context;
  if (!connection->backend_connected) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->backend.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 || (events & EPOLLERR)) {
      loop_remove(&connection->backend);
      close(connection->backend.fd);
      connection->has_backend = false;
      answer_error(connection, 502, "Bad Gateway", "the workload does not accept connections");
      return;
    }
    connection->backend_connected = true;
  }
  pump(connection);
}

static void relay(struct connection *connection, const char *method, const char *path,
                  size_t head_length) {
  const char *host, *prefix;
  uint16_t port;
  if (!workload_address(&host, &port, &prefix)) {
    return answer_error(connection, 502, "Bad Gateway", "there is no workload");
  }
  struct flow *up = &connection->up;
  if (!flow_init(up, RELAY_BYTES) || !flow_init(&connection->down, RELAY_BYTES)) {
    return close_connection(connection);
  }
  size_t rest = connection->in_length - head_length;
  up->end = rewrite_head(connection->in, method, path, up->data, RELAY_BYTES - rest);
  if (up->end == 0) return answer_error(connection, 431, "Headers Too Large", "the head is too large");
  memcpy(up->data + up->end, connection->in + head_length, rest);
  up->end += rest;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return answer_error(connection, 502, "Bad Gateway", "no socket to the workload");
  connection->mode = RELAYING;
  connection->has_backend = true;
  int result = connect(fd, (struct sockaddr *)&to, sizeof to);
  loop_add(&connection->backend, fd, EPOLLOUT, on_backend, connection);
  loop_change(&connection->client, 0);
  loop_timer(RELAY_IDLE_MS, close_connection, connection);
  if (result < 0 && errno != EINPROGRESS) on_backend(connection, EPOLLERR);
}

// ---- the log as a stream

static void send_lines(struct connection *connection) {
  struct flow *down = &connection->down;
  const struct log_line *line;
  char text[128];
  while ((line = log_from(connection->next_line)) != NULL) {
    // Escaped, a character may take six bytes.
    if (RELAY_BYTES - down->end < (size_t)line->length * 6 + sizeof text) break;
    down->end += (size_t)snprintf(down->data + down->end, RELAY_BYTES - down->end,
                                  "data: {\"stream\":\"%s\",\"timestamp\":\"%s\",\"line\":\"", line->stream,
                                  line->time);
    down->end = json_escape(down->data, RELAY_BYTES, down->end, line->text, line->length);
    down->end += (size_t)snprintf(down->data + down->end, RELAY_BYTES - down->end, "\"}\n\n");
    connection->next_line = line->number + 1;
  }
  pump(connection);
}

static void heartbeat(void *context) {
  struct connection *connection = context;
  struct flow *down = &connection->down;
  // Nothing was taken since the last one: the reader is gone or stuck.
  if (down->end > 0) return close_connection(connection);
  down->end = (size_t)snprintf(down->data, RELAY_BYTES, ": heartbeat\n\n");
  loop_timer(HEARTBEAT_MS, heartbeat, connection);
  pump(connection);
}

static void stream_log(struct connection *connection, const char *query) {
  const char *tail = strstr(query, "tail=");
  if (!flow_init(&connection->down, RELAY_BYTES)) return close_connection(connection);
  connection->mode = STREAMING;
  connection->next_line = tail != NULL ? log_tail(strtoull(tail + 5, NULL, 10)) : 0;
  struct flow *down = &connection->down;
  down->end = (size_t)snprintf(down->data, RELAY_BYTES,
                               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Cache-Control: no-cache\r\nConnection: close\r\n\r\n: connected\n\n");
  loop_cancel(close_connection, connection);
  loop_timer(HEARTBEAT_MS, heartbeat, connection);
  send_lines(connection);
}

void http_log_grew(void) {
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    if (connections[i].used && connections[i].mode == STREAMING) send_lines(&connections[i]);
  }
}

// ---- requests

static void body_is_complete(struct connection *connection) {
  connection->body[connection->body_length] = '\0';
  if (workload_set_manifest(connection->body)) answer(connection, 204, "No Content", "text/plain", "");
  else answer_error(connection, 409, "Conflict", "there is a manifest already");
}

static void receive_body(struct connection *connection) {
  while (connection->body_length < connection->body_expected) {
    ssize_t count = read(connection->client.fd, connection->body + connection->body_length,
                         connection->body_expected - connection->body_length);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return close_connection(connection);
    connection->body_length += (size_t)count;
  }
  body_is_complete(connection);
}

static void take_manifest(struct connection *connection, size_t head_length) {
  char value[32];
  bool has_length = header(connection->in, "Content-Length", value, sizeof value);
  size_t expected = has_length ? strtoul(value, NULL, 10) : 0;
  size_t rest = connection->in_length - head_length;
  if (expected == 0 || expected > BODY_BYTES_MAX || rest > expected) {
    return answer_error(connection, 400, "Bad Request", "Content-Length is missing or out of bounds");
  }
  connection->body = malloc(expected + 1);
  if (connection->body == NULL) return close_connection(connection);
  memcpy(connection->body, connection->in + head_length, rest);
  connection->mode = RECEIVING;
  connection->body_length = rest;
  connection->body_expected = expected;
  receive_body(connection);
}

static void accept_power_off(void *context) {
  (void)context;
  power_off();
}

static void route_agent(struct connection *connection, const char *method, const char *path,
                        size_t head_length) {
  if (strcmp(path, "/agent/info") == 0) return answer_info(connection);
  if (strcmp(path, "/agent/manifest") == 0 && strcmp(method, "PUT") == 0) {
    return take_manifest(connection, head_length);
  }
  if (strcmp(path, "/agent/poweroff") == 0 && strcmp(method, "POST") == 0) {
    answer(connection, 202, "Accepted", "application/json", "{\"status\":\"powering off\"}");
    // After the answer has left.
    loop_timer(10, accept_power_off, NULL);
    return;
  }
  answer_error(connection, 404, "Not Found", "there is no such route");
}

static void route(struct connection *connection, size_t head_length) {
  char method[16], target[4096];
  if (sscanf(connection->in, "%15[A-Z] %4095[^ \r\n] HTTP/1.", method, target) != 2 || target[0] != '/') {
    return answer_error(connection, 400, "Bad Request", "the request is malformed");
  }
  connection->head_only = strcmp(method, "HEAD") == 0;
  size_t path_length = strcspn(target, "?");
  if (strcmp(target, "/healthz") == 0) return answer_health(connection);
  if (strncmp(target, "/v1/logs/stream", path_length) == 0 && path_length == 15) {
    return stream_log(connection, target + path_length);
  }
  if (strncmp(target, "/v1", 3) == 0 && (path_length == 3 || target[3] == '/')) {
    return relay(connection, method, target + 3, head_length);
  }
  if (connection->trusted && strncmp(target, "/agent/", 7) == 0) {
    return route_agent(connection, method, target, head_length);
  }
  answer_error(connection, 404, "Not Found", "there is no such route");
}

static void read_head(struct connection *connection) {
  ssize_t count = read(connection->client.fd, connection->in + connection->in_length,
                       HEAD_BYTES_MAX - connection->in_length);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return close_connection(connection);
  connection->in_length += (size_t)count;
  connection->in[connection->in_length] = '\0';
  const char *end = strstr(connection->in, "\r\n\r\n");
  if (end != NULL) return route(connection, (size_t)(end - connection->in) + 4);
  if (connection->in_length == HEAD_BYTES_MAX) {
    answer_error(connection, 431, "Headers Too Large", "the head is too large");
  }
}

// While an answer is sent: what the client still sends is thrown away, its end ends the connection.
static void discard(struct connection *connection) {
  char text[4096];
  ssize_t count = read(connection->client.fd, text, sizeof text);
  if (count == 0 || (count < 0 && errno != EAGAIN)) close_connection(connection);
}

static void on_client(void *context, uint32_t events) {
  struct connection *connection = context;
  switch (connection->mode) {
    case READING:
      return read_head(connection);
    case RECEIVING:
      return receive_body(connection);
    case RELAYING:
      if (events & (EPOLLHUP | EPOLLERR)) return close_connection(connection);
      return pump(connection);
    case ANSWERING:
    case STREAMING:
      if (events & EPOLLOUT) pump(connection);
      if (connection->used && (events & (EPOLLIN | EPOLLHUP))) discard(connection);
      if (connection->used && connection->mode == STREAMING && connection->down.end == 0) {
        send_lines(connection);
      }
  }
}

void http_serve(int fd, bool trusted) {
  struct connection *connection = NULL;
  for (int i = 0; i < CONNECTIONS_MAX && connection == NULL; i++) {
    if (!connections[i].used) connection = &connections[i];
  }
  char *in = connection != NULL ? malloc(HEAD_BYTES_MAX + 1) : NULL;
  if (in == NULL) {
    close(fd);
    return;
  }
  set_nonblocking(fd);
  *connection = (struct connection){.used = true, .trusted = trusted, .mode = READING, .in = in};
  loop_add(&connection->client, fd, EPOLLIN, on_client, connection);
  loop_timer(HEAD_TIMEOUT_MS, close_connection, connection);
}

static void on_listener(void *context, uint32_t events) {
  (void)context;
  (void)events;
  int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) http_serve(fd, false);
}

void http_listen(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(HTTP_PORT)};
  if (fd < 0) return say("no socket: %s", strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0) {
    say("cannot listen on port %d: %s", HTTP_PORT, strerror(errno));
    close(fd);
    return;
  }
  loop_add(&listener, fd, EPOLLIN, on_listener, NULL);
}
