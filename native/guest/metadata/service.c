// guest: the metadata service: GET /v1/vm, its members and POST /v1/result of the workload; PUT /agent/metadata, GET and
// POST /agent/result of the daemon.
#include "metadata/service.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/manifest_limits.h"
#include "http/server.h"
#include "metadata/document.h"
#include "metadata/results.h"

#define VM_PATH "/v1/vm"
#define RESULT_PATH "/v1/result"

static uint16_t port;

static bool is_path(const struct request *request, const char *path) {
  return request->path_length == strlen(path) && strncmp(request->target, path, request->path_length) == 0;
}

static bool is_below(const struct request *request, const char *path) {
  size_t length = strlen(path);
  return request->path_length > length && strncmp(request->target, path, length) == 0 && request->target[length] == '/';
}

static void answer_nothing(struct connection *connection) {
  connection_answer_error(connection, 404, "Not Found", "there is no such route");
}

static void answer_member(struct connection *connection, const struct request *request) {
  size_t prefix = sizeof VM_PATH;
  char *text = document_member(request->target + prefix, request->path_length - prefix);
  if (text == NULL) {
    return connection_answer_error(connection, 404, "Not Found", "there is no such text, number or boolean");
  }
  connection_answer_bytes(connection, 200, "OK", "text/plain; charset=utf-8", text, strlen(text));
  free(text);
}

static void serve_workload(struct connection *connection, const struct request *request) {
  bool reads = connection->head_only || strcmp(request->method, "GET") == 0;
  if (reads && is_path(request, VM_PATH)) {
    const char *text = document_text();
    return connection_answer_bytes(connection, 200, "OK", "application/json", text, strlen(text));
  }
  if (reads && is_below(request, VM_PATH)) return answer_member(connection, request);
  if (strcmp(request->method, "POST") == 0 && is_path(request, RESULT_PATH)) return results_post(connection, request);
  answer_nothing(connection);
}

static void document_is_complete(struct connection *connection) {
  if (!document_set(connection->body) || !http_serve_local(port, serve_workload)) {
    return connection_answer_error(connection, 500, "Internal Server Error", "the metadata cannot be served");
  }
  connection_answer(connection, 204, "No Content", "text/plain", "");
}

static void serve_document(struct connection *connection, const struct request *request) {
  if (strcmp(request->method, "PUT") != 0) return answer_nothing(connection);
  http_receive_body(connection, request, METADATA_BYTES_MAX, document_is_complete);
}

static void serve_results(struct connection *connection, const struct request *request) {
  const char *query = request->target + request->path_length;
  if (strcmp(request->method, "GET") == 0) results_tell(connection);
  else if (strcmp(request->method, "POST") == 0) results_settle(connection, query);
  else answer_nothing(connection);
}

void metadata_serve(uint16_t local_port, void (*on_result)(void)) {
  port = local_port;
  results_on_post(on_result);
  http_serve_below("/agent/metadata", serve_document);
  http_serve_below("/agent/result", serve_results);
}
