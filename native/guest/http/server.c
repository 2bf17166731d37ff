// guest: the HTTP server: reads requests and hands them to what answers them. One request for each connection. A connection is a
// descriptor: TCP, vsock, or a stream of the channel, which alone may use /agent. A port of the loopback address may have a
// service of its own.
#include "http/server.h"

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

#include "base/files.h"
#include "base/heads.h"
#include "base/loop.h"
#include "base/manifest_limits.h"
#include "base/say.h"
#include "files/transfer.h"
#include "http/connection.h"
#include "http/datagrams.h"
#include "http/log_stream.h"
#include "http/relay.h"
#include "network/network.h"
#include "version.h"
#include "workload/log_ring.h"
#include "workload/power.h"
#include "workload/workload.h"

#define POWER_OFF_MS_MAX 3600000
#define HEAD_TIMEOUT_MS 10000
#define BACKLOG 64
#define LOCAL_CONNECTIONS_MAX 16

// The port of the loopback address that has a service of its own. 0: none.
static uint16_t local_port;
static http_handler local_service;

static void answer_health(struct connection *connection, const struct request *request) {
  (void)request;
  char body[WORKLOAD_BYTES_MAX + 256], workload[WORKLOAD_BYTES_MAX];
  struct timespec up;
  clock_gettime(CLOCK_BOOTTIME, &up);
  workload_describe(workload, sizeof workload);
  snprintf(body, sizeof body,
           "{\"status\":\"ok\",\"uptime\":\"%lld.%03lds\",\"version\":\"" AGENT_VERSION "\",\"workload\":%s}",
           (long long)up.tv_sec, up.tv_nsec / 1000000, workload);
  connection_answer(connection, 200, "OK", "application/json", body);
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
  connection_answer(connection, 200, "OK", "application/json", body);
}

// ---- requests

static void manifest_is_complete(struct connection *connection) {
  if (workload_set_manifest(connection->body)) connection_answer(connection, 204, "No Content", "text/plain", "");
  else connection_answer_error(connection, 409, "Conflict", "there is a manifest already");
}

static void receive_body(struct connection *connection) {
  while (connection->body_length < connection->body_expected) {
    ssize_t count = read(connection->client.fd, connection->body + connection->body_length,
                         connection->body_expected - connection->body_length);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return connection_close(connection);
    connection->body_length += (size_t)count;
  }
  connection->body[connection->body_length] = '\0';
  connection->body_done(connection);
}

void http_receive_body(struct connection *connection, const struct request *request, size_t bytes_max,
                       void (*done)(struct connection *connection)) {
  char value[32];
  size_t head_length = request->head_length;
  bool has_length = head_value(connection->in, "Content-Length", value, sizeof value);
  size_t expected = has_length ? strtoul(value, NULL, 10) : 0;
  size_t rest = connection->in_length - head_length;
  if (expected == 0 || expected > bytes_max || rest > expected) {
    return connection_answer_error(connection, 400, "Bad Request", "Content-Length is missing or out of bounds");
  }
  connection->body = malloc(expected + 1);
  if (connection->body == NULL) return connection_close(connection);
  memcpy(connection->body, connection->in + head_length, rest);
  connection->mode = RECEIVING;
  connection->body_done = done;
  connection->body_length = rest;
  connection->body_expected = expected;
  receive_body(connection);
}

static void take_manifest(struct connection *connection, const struct request *request) {
  http_receive_body(connection, request, MANIFEST_BYTES_MAX, manifest_is_complete);
}

// The time that was asked for last. Negative: none.
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
  connection_answer(connection, 202, "Accepted", "application/json", "{\"status\":\"powering off\"}");
  // After the answer was sent.
  loop_timer(10, accept_power_off, NULL);
}

static void relay(struct connection *connection, const struct request *request) {
  relay_begin(connection, request, request->target + strlen("/v1"));
}

static void connect_port(struct connection *connection, const struct request *request) {
  const char *port = strstr(request->target + request->path_length, "port=");
  unsigned long number = port != NULL ? strtoul(port + strlen("port="), NULL, 10) : 0;
  if (number == 0 || number > UINT16_MAX) {
    return connection_answer_error(connection, 400, "Bad Request", "port is missing or out of bounds");
  }
  if (number == local_port) {
    return connection_answer_error(connection, 403, "Forbidden", "the port is for programs of the guest only");
  }
  if (strstr(request->target + request->path_length, "protocol=udp") != NULL) {
    return datagrams_begin(connection, request, (uint16_t)number);
  }
  tunnel_begin(connection, request, (uint16_t)number);
}

// A process of its own has the connection from here on.
static void serve_files(struct connection *connection, const struct request *request) {
  if (transfer_begin(connection->client.fd, connection->in, connection->in_length, request)) {
    return connection_close(connection);
  }
  connection_answer(connection, 503, "Service Unavailable", "application/json",
                    "{\"error\":\"too many files are being transferred or watched\",\"code\":\"OVERLOADED\"}");
}

// The first route that fits counts. HEAD is served like GET, without the body.
static const struct route {
  const char *method;  // NULL: any
  const char *path;
  bool below;    // paths below it as well
  bool trusted;  // only over the channel
  void (*handle)(struct connection *connection, const struct request *request);
} routes[] = {
    {"GET", "/healthz", false, false, answer_health},
    {"GET", "/v1/logs/stream", false, false, log_stream_begin},
    {NULL, "/v1", true, false, relay},
    {"GET", "/agent/info", false, true, answer_info},
    {"PUT", "/agent/manifest", false, true, take_manifest},
    {"GET", "/agent/connect", false, true, connect_port},
    {"POST", "/agent/poweroff", false, true, answer_power_off},
    {NULL, TRANSFER_PATH, true, true, serve_files},
    {"GET", TRANSFER_WATCH_PATH, true, true, serve_files},
};

// Paths of modules above this one, for the daemon only.
static struct hook {
  const char *path;
  http_handler handle;
} hooks[HTTP_HOOKS_MAX];
static size_t hook_count;

void http_serve_below(const char *path, http_handler handle) {
  if (hook_count < HTTP_HOOKS_MAX) hooks[hook_count++] = (struct hook){path, handle};
}

static const struct hook *hook_for(const struct connection *connection, const struct request *request) {
  for (size_t i = 0; i < hook_count && connection->trusted; i++) {
    size_t length = strlen(hooks[i].path);
    bool begins = strncmp(request->target, hooks[i].path, length) == 0;
    if (begins && (request->path_length == length || request->target[length] == '/')) return &hooks[i];
  }
  return NULL;
}

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
    return connection_answer_error(connection, 400, "Bad Request", "the request is malformed");
  }
  connection->head_only = strcmp(request.method, "HEAD") == 0;
  if (connection->service != NULL) return connection->service(connection, &request);
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (fits(&routes[i], connection, &request)) return routes[i].handle(connection, &request);
  }
  const struct hook *hook = hook_for(connection, &request);
  if (hook != NULL) return hook->handle(connection, &request);
  connection_answer_error(connection, 404, "Not Found", "there is no such route");
}

static void read_head(struct connection *connection) {
  ssize_t count = read(connection->client.fd, connection->in + connection->in_length,
                       HEAD_BYTES_MAX - connection->in_length);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return connection_close(connection);
  connection->in_length += (size_t)count;
  connection->in[connection->in_length] = '\0';
  const char *end = strstr(connection->in, "\r\n\r\n");
  if (end != NULL) return serve_request(connection, (size_t)(end - connection->in) + 4);
  // The end of a head with a NUL would never be found.
  if (strlen(connection->in) < connection->in_length) {
    return connection_answer_error(connection, 400, "Bad Request", "the request is malformed");
  }
  if (connection->in_length == HEAD_BYTES_MAX) {
    connection_answer_error(connection, 431, "Headers Too Large", "the head is too large");
  }
}

static void on_client(void *context, uint32_t events) {
  struct connection *connection = context;
  switch (connection->mode) {
    case READING:
      return read_head(connection);
    case RECEIVING:
      return receive_body(connection);
    case RELAYING:
      if (connection->datagrams) return datagrams_on_client(connection, events);
      return relay_on_client(connection, events);
    case ENDING:
      return connection_discard(connection);
    case OWNED:
      return connection->on_events(connection, events);
    case ANSWERING:
    case STREAMING:
      if (events & EPOLLOUT) connection_send(connection);
      if (connection->used && (events & (EPOLLIN | EPOLLHUP))) connection_discard(connection);
      if (connection->used && connection->mode == STREAMING && connection->down.end == 0) {
        log_stream_send(connection);
      }
  }
}

// Returns NULL, and closes the descriptor, if there is no free connection.
static struct connection *begin(int fd) {
  struct connection *connection = connection_take();
  if (connection == NULL) {
    close(fd);
    return NULL;
  }
  set_nonblocking(fd);
  loop_add(&connection->client, fd, EPOLLIN, on_client, connection);
  loop_timer(HEAD_TIMEOUT_MS, connection_close, connection);
  return connection;
}

void http_serve(int fd, bool trusted) {
  struct connection *connection = begin(fd);
  if (connection != NULL) connection->trusted = trusted;
}

static void send_log(void) {
  connection_each(STREAMING, log_stream_send);
}

static void on_listener(void *context, uint32_t events) {
  (void)events;
  const struct source *listener = context;
  int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0) http_serve(fd, false);
}

// The workload may open as many as it likes. The daemon needs connections, too.
static void on_local(void *context, uint32_t events) {
  (void)events;
  const struct source *listener = context;
  int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  if (connection_count(local_service) >= LOCAL_CONNECTIONS_MAX) {
    close(fd);
    return;
  }
  struct connection *connection = begin(fd);
  if (connection != NULL) connection->service = local_service;
}

// Returns false if nothing listens.
static bool listen_at(struct source *listener, fd_callback on_connection, const struct sockaddr *at, socklen_t size, int port) {
  int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  // Most guests have no vsock, and some have no network.
  if (fd < 0 && errno == EAFNOSUPPORT) return false;
  if (fd < 0) {
    say("no socket: %s", strerror(errno));
    return false;
  }
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, at, size) < 0 || listen(fd, BACKLOG) < 0) {
    say("cannot listen on port %d: %s", port, strerror(errno));
    close(fd);
    return false;
  }
  loop_add(listener, fd, EPOLLIN, on_connection, listener);
  return true;
}

bool http_serve_local(uint16_t port, http_handler service) {
  static struct source listener;
  struct sockaddr_in loopback = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (local_port != 0) return true;
  if (!listen_at(&listener, on_local, (struct sockaddr *)&loopback, sizeof loopback, port)) return false;
  local_service = service;
  local_port = port;
  return true;
}

void http_listen(void) {
  static struct source listeners[2];
  struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(HTTP_PORT)};
  struct sockaddr_vm vm = {
      .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = HTTP_PORT};
  log_on_growth(send_log);
  listen_at(&listeners[0], on_listener, (struct sockaddr *)&inet, sizeof inet, HTTP_PORT);
  listen_at(&listeners[1], on_listener, (struct sockaddr *)&vm, sizeof vm, HTTP_PORT);
}
