// guest: the HTTP server: health and the log as a stream; everything else below /v1 is handed to
// relay.c. One request for each connection. A connection is a descriptor: TCP or a stream of the
// channel, which alone may use /agent.
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

#define POWER_OFF_MS_MAX 3600000
#define CONNECTIONS_MAX 96
#define HEAD_TIMEOUT_MS 10000
#define WRITE_TIMEOUT_MS 30000
#define LINGER_MS 2000
#define HEARTBEAT_MS 15000
#define BACKLOG 64

static struct connection connections[CONNECTIONS_MAX];

static void heartbeat(void *context);

void close_connection(void *context) {
  struct connection *connection = context;
  loop_cancel(close_connection, connection);
  loop_cancel(heartbeat, connection);
  loop_remove(&connection->client);
  close(connection->client.fd);
  drop_backend(connection);
  free(connection->in);
  free(connection->body);
  free(connection->up.data);
  free(connection->down.data);
  memset(connection, 0, sizeof *connection);
}

void end_connection(struct connection *connection) {
  connection->mode = ENDING;
  drop_backend(connection);
  loop_cancel(heartbeat, connection);
  loop_change(&connection->client, EPOLLIN);
  loop_timer(LINGER_MS, close_connection, connection);
}

// ---- answers

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
  relay_pump(connection);
}

void answer_error(struct connection *connection, int status, const char *reason, const char *why) {
  char body[512];
  snprintf(body, sizeof body, "{\"error\":\"%s\"}", why);
  answer(connection, status, reason, "application/json", body);
}

static void answer_health(struct connection *connection, const struct request *request) {
  (void)request;
  char body[WORKLOAD_BYTES_MAX + 256], workload[WORKLOAD_BYTES_MAX];
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  workload_describe(workload, sizeof workload);
  snprintf(body, sizeof body,
           "{\"status\":\"ok\",\"uptime\":\"%lld.%03lds\",\"version\":\"" AGENT_VERSION "\",\"workload\":%s}",
           (long long)up.tv_sec, up.tv_nsec / 1000000, workload);
  answer(connection, 200, "OK", "application/json", body);
}

static void answer_info(struct connection *connection, const struct request *request) {
  (void)request;
  char body[512], boot[64] = "", host[65] = "";
  read_file("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
  boot[strcspn(boot, "\n")] = '\0';
  gethostname(host, sizeof host - 1);
  snprintf(body, sizeof body,
           "{\"protocol\":1,\"version\":\"" AGENT_VERSION "\",\"boot_id\":\"%s\",\"hostname\":\"%s\",\"address\":\"%s\"}",
           boot, host, network_address());
  answer(connection, 200, "OK", "application/json", body);
}

// ---- the log as a stream

static void fill_lines(struct connection *connection) {
  struct flow *down = &connection->down;
  const struct log_line *line;
  // The longest that stands around a line.
  const size_t frame = 128;
  while ((line = log_from(connection->next_line)) != NULL) {
    // Escaped, a character may take six bytes.
    if (RELAY_BYTES - down->end < (size_t)line->length * 6 + frame) break;
    down->end += (size_t)snprintf(down->data + down->end, RELAY_BYTES - down->end,
                                  "id: %llu\ndata: {\"stream\":\"%s\",\"timestamp\":\"%s\",\"line\":\"",
                                  (unsigned long long)line->number, line->stream, line->time);
    down->end = json_escape(down->data, RELAY_BYTES, down->end, line->text, line->length);
    down->end += (size_t)snprintf(down->data + down->end, RELAY_BYTES - down->end, "\"}\n\n");
    connection->next_line = line->number + 1;
  }
}

// Goes on for as long as the reader takes everything; after that the loop tells when it has.
static void send_lines(struct connection *connection) {
  do {
    fill_lines(connection);
    relay_pump(connection);
  } while (connection->used && connection->down.end == 0 && log_from(connection->next_line) != NULL);
}

static void heartbeat(void *context) {
  struct connection *connection = context;
  struct flow *down = &connection->down;
  // Nothing was taken since the last one: the reader is gone or stuck.
  if (down->end > 0 && !down->moved) return close_connection(connection);
  down->moved = false;
  loop_timer(HEARTBEAT_MS, heartbeat, connection);
  if (down->end > 0) return;
  down->end = (size_t)snprintf(down->data, RELAY_BYTES, ": heartbeat\n\n");
  relay_pump(connection);
}

static void stream_log(struct connection *connection, const struct request *request) {
  const char *query = request->target + request->path_length;
  const char *tail = strstr(query, "tail=");
  const char *after = strstr(query, "after=");
  if (!flow_init(&connection->down, RELAY_BYTES)) return close_connection(connection);
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
    return relay_pump(connection);
  }
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

static void take_manifest(struct connection *connection, const struct request *request) {
  char value[32];
  size_t head_length = request->head_length;
  bool has_length = head_value(connection->in, "Content-Length", value, sizeof value);
  size_t expected = has_length ? strtoul(value, NULL, 10) : 0;
  size_t rest = connection->in_length - head_length;
  if (expected == 0 || expected > MANIFEST_BYTES_MAX || rest > expected) {
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

// What was asked for last; negative: nothing was said.
static long power_off_ms;

static void accept_power_off(void *context) {
  (void)context;
  if (power_off_ms < 0) return power_off();
  power_off_within((int)power_off_ms);
}

static void answer_power_off(struct connection *connection, const struct request *request) {
  const char *timeout = strstr(request->target + request->path_length, "timeout_ms=");
  power_off_ms = timeout != NULL ? strtol(timeout + strlen("timeout_ms="), NULL, 10) : -1;
  if (power_off_ms > POWER_OFF_MS_MAX) power_off_ms = POWER_OFF_MS_MAX;
  answer(connection, 202, "Accepted", "application/json", "{\"status\":\"powering off\"}");
  // After the answer has left.
  loop_timer(10, accept_power_off, NULL);
}

static void relay(struct connection *connection, const struct request *request) {
  relay_begin(connection, request, request->target + strlen("/v1"));
}

static void connect_port(struct connection *connection, const struct request *request) {
  const char *port = strstr(request->target + request->path_length, "port=");
  unsigned long number = port != NULL ? strtoul(port + strlen("port="), NULL, 10) : 0;
  if (number == 0 || number > UINT16_MAX) {
    return answer_error(connection, 400, "Bad Request", "port is missing or out of bounds");
  }
  if (strstr(request->target + request->path_length, "protocol=udp") != NULL) {
    return datagrams_begin(connection, request, (uint16_t)number);
  }
  tunnel_begin(connection, request, (uint16_t)number);
}

// The first that fits is taken. HEAD is served like GET, without the body.
static const struct route {
  const char *method;  // NULL is any
  const char *path;
  bool below;    // paths below it, too
  bool trusted;  // over the channel only
  void (*handle)(struct connection *connection, const struct request *request);
} routes[] = {
    {"GET", "/healthz", false, false, answer_health},
    {"GET", "/v1/logs/stream", false, false, stream_log},
    {NULL, "/v1", true, false, relay},
    {"GET", "/agent/info", false, true, answer_info},
    {"PUT", "/agent/manifest", false, true, take_manifest},
    {"GET", "/agent/connect", false, true, connect_port},
    {"POST", "/agent/poweroff", false, true, answer_power_off},
};

static bool fits(const struct route *route, const struct connection *connection,
                 const struct request *request) {
  const char *method = connection->head_only ? "GET" : request->method;
  if (route->method != NULL && strcmp(route->method, method) != 0) return false;
  if (route->trusted && !connection->trusted) return false;
  size_t length = strlen(route->path);
  if (strncmp(request->target, route->path, length) != 0) return false;
  return request->path_length == length || (route->below && request->target[length] == '/');
}

static void serve_request(struct connection *connection, size_t head_length) {
  struct request request = {.head_length = head_length};
  if (!head_read_request(connection->in, &request)) {
    return answer_error(connection, 400, "Bad Request", "the request is malformed");
  }
  connection->head_only = strcmp(request.method, "HEAD") == 0;
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (fits(&routes[i], connection, &request)) return routes[i].handle(connection, &request);
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
  if (end != NULL) return serve_request(connection, (size_t)(end - connection->in) + 4);
  // Behind a NUL no end would ever be found.
  if (strlen(connection->in) < connection->in_length) {
    return answer_error(connection, 400, "Bad Request", "the request is malformed");
  }
  if (connection->in_length == HEAD_BYTES_MAX) {
    answer_error(connection, 431, "Headers Too Large", "the head is too large");
  }
}

// What the client still sends is thrown away, its end ends the connection.
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
      // Also told when both sides have ended and bytes are left: then it is no client that is gone.
      if ((events & EPOLLERR) || ((events & EPOLLHUP) && !connection->down.closed)) {
        return close_connection(connection);
      }
      if (events & EPOLLHUP) connection->hung_up = true;
      return relay_pump(connection);
    case ENDING:
      return discard(connection);
    case ANSWERING:
    case STREAMING:
      if (events & EPOLLOUT) relay_pump(connection);
      if (connection->used && (events & (EPOLLIN | EPOLLHUP))) discard(connection);
      if (connection->used && connection->mode == STREAMING && connection->down.end == 0) {
        send_lines(connection);
      }
  }
}

// One that is free; else one whose client has got everything. NULL when all are busy.
static struct connection *free_connection(void) {
  struct connection *ending = NULL;
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    if (!connections[i].used) return &connections[i];
    if (connections[i].mode == ENDING) ending = &connections[i];
  }
  if (ending != NULL) close_connection(ending);
  return ending;
}

void http_serve(int fd, bool trusted) {
  struct connection *connection = free_connection();
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
  (void)events;
  const struct source *listener = context;
  int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) http_serve(fd, false);
}

static void listen_at(struct source *listener, const struct sockaddr *at, socklen_t size) {
  int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  // Most guests have no vsock, some no network.
  if (fd < 0 && errno == EAFNOSUPPORT) return;
  if (fd < 0) return say("no socket: %s", strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, at, size) < 0 || listen(fd, BACKLOG) < 0) {
    say("cannot listen on port %d: %s", HTTP_PORT, strerror(errno));
    close(fd);
    return;
  }
  loop_add(listener, fd, EPOLLIN, on_listener, listener);
}

void http_listen(void) {
  static struct source listeners[2];
  struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(HTTP_PORT)};
  struct sockaddr_vm vm = {
      .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = HTTP_PORT};
  listen_at(&listeners[0], (struct sockaddr *)&inet, sizeof inet);
  listen_at(&listeners[1], (struct sockaddr *)&vm, sizeof vm);
}
