// guest: results that the workload posts, on their way to the daemon.
#include "metadata/results.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/loop.h"
#include "base/manifest_limits.h"
#include "http/server.h"

#define KEEP_TIMEOUT_MS 30000
#define RETRY_S 5
#define LINE_BYTES_MAX 32
#define JSON_TYPE "application/json"

// The result that waits for the daemon.
static struct {
  struct connection *client;  // NULL: none waits
  unsigned long number;       // of this one, or of the last one
} waiting;
// When the pauses of all results so far are over.
static int64_t paused_until_ms;
static void (*on_post)(void);

void results_on_post(void (*callback)(void)) {
  on_post = callback;
}

static void refuse(struct connection *connection, int status, const char *reason, int retry_after_s, const char *why) {
  connection->retry_after_s = retry_after_s;
  connection_answer_error(connection, status, reason, why);
}

// How long the next result has to wait. The first ones need no pause.
static int64_t pause_left_ms(void) {
  int64_t left = paused_until_ms - now_ms() - (int64_t)(RESULTS_BURST_MAX - 1) * RESULT_EVERY_MS;
  return left > 0 ? left : 0;
}

// Returns false, and answers, if no result can be taken now.
static bool is_in_time(struct connection *connection) {
  int64_t left_ms = pause_left_ms();
  if (waiting.client == NULL && left_ms == 0) return true;
  int seconds = (int)((left_ms + 999) / 1000);
  refuse(connection, 429, "Too Many Requests", seconds > 0 ? seconds : 1, "results are posted too often");
  return false;
}

static void forget(struct connection *connection) {
  if (waiting.client == connection) waiting.client = NULL;
}

static void ignore(struct connection *connection, uint32_t events) {
  (void)connection;
  (void)events;
}

// The client that waits, to be answered now. NULL: none.
static struct connection *take_client(void) {
  struct connection *client = waiting.client;
  if (client == NULL) return NULL;
  loop_cancel_all(client);
  client->on_close = NULL;
  waiting.client = NULL;
  return client;
}

static void is_late(void *context) {
  (void)context;
  struct connection *client = take_client();
  if (client != NULL) refuse(client, 503, "Service Unavailable", RETRY_S, "the result was not kept in time");
}

static void is_complete(struct connection *connection) {
  // Another one may have been faster.
  if (!is_in_time(connection)) return;
  int64_t now = now_ms();
  paused_until_ms = (paused_until_ms > now ? paused_until_ms : now) + RESULT_EVERY_MS;
  waiting.client = connection;
  waiting.number++;
  connection->mode = OWNED;
  connection->on_events = ignore;
  connection->on_close = forget;
  loop_cancel_all(connection);
  // A client that has gone is seen when it is answered.
  loop_change(&connection->client, 0);
  loop_timer(KEEP_TIMEOUT_MS, is_late, connection);
  on_post();
}

void results_post(struct connection *connection, const struct request *request) {
  struct request_body body = {0};
  if (!head_read_body(connection->in, &body) || body.switches) {
    return refuse(connection, 400, "Bad Request", 0, "the length of the body is not clear");
  }
  if (body.length == SIZE_MAX) return refuse(connection, 411, "Length Required", 0, "Content-Length is required");
  if (body.length > RESULT_BYTES_MAX) return refuse(connection, 413, "Content Too Large", 0, "the result is too large");
  if (is_in_time(connection)) http_receive_body(connection, request, RESULT_BYTES_MAX, is_complete);
}

// A form, which is what simple clients say they send, is a text as any other.
static const char *kind_of(const struct connection *connection) {
  char type[sizeof JSON_TYPE + 1] = "";
  size_t length = sizeof JSON_TYPE - 1;
  if (!head_value(connection->in, "Content-Type", type, sizeof type)) return "text";
  bool is_json = strncasecmp(type, JSON_TYPE, length) == 0 && strchr("; \t", type[length]) != NULL;
  return is_json ? "json" : "text";
}

void results_tell(struct connection *connection) {
  const struct connection *client = waiting.client;
  if (client == NULL) return connection_answer(connection, 204, "No Content", "text/plain", "");
  char *told = malloc(LINE_BYTES_MAX + client->body_length);
  if (told == NULL) return connection_close(connection);
  size_t length = (size_t)snprintf(told, LINE_BYTES_MAX, "%lu %s\n", waiting.number, kind_of(client));
  memcpy(told + length, client->body, client->body_length);
  connection_answer_json(connection, 200, "OK", told, length + client->body_length);
  free(told);
}

static unsigned long number_in(const char *query, const char *name) {
  const char *at = strstr(query, name);
  return at != NULL ? strtoul(at + strlen(name), NULL, 10) : 0;
}

void results_settle(struct connection *connection, const char *query) {
  // An answer that comes too late is about an earlier one.
  bool is_this = number_in(query, "number=") == waiting.number;
  struct connection *client = is_this ? take_client() : NULL;
  unsigned long status = number_in(query, "status=");
  connection_answer(connection, 204, "No Content", "text/plain", "");
  if (client == NULL) return;
  if (status == 204) return connection_answer(client, 204, "No Content", "text/plain", "");
  if (status == 400) return refuse(client, 400, "Bad Request", 0, "the result is not UTF-8, or not the JSON that it says it is");
  refuse(client, 503, "Service Unavailable", RETRY_S, "the result could not be kept");
}
