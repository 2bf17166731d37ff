// guest: the requests of the daemon about execs: POST /agent/exec, GET /agent/exec, and for one of them GET, DELETE, GET attach,
// POST signal and POST resize.
#include "exec/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "exec/attach.h"
#include "exec/describe.h"
#include "exec/exec.h"
#include "http/server.h"

#define PREFIX "/agent/exec"
// Arguments and variables, with what JSON adds to them.
#define BODY_BYTES_MAX (3 * EXECUTE_BYTES_MAX)
#define SIGNAL_MAX 64
#define LIST_BYTES_MAX (64 * (DESCRIPTION_BYTES_MAX + 1) + 16)

static void answer_exec(struct connection *connection, int status, const char *reason, const struct exec *exec) {
  char body[DESCRIPTION_BYTES_MAX];
  connection_answer_json(connection, status, reason, body, describe_exec(exec, body, sizeof body));
}

static void answer_done(struct connection *connection) {
  connection_answer(connection, 204, "No Content", "text/plain", "");
}

// ---- start

// Of a connection that waits until it is known whether its program could be executed.
static void on_waiting(struct connection *connection, uint32_t events) {
  (void)events;
  connection_discard(connection);
}

// The exec that is looked for among the connections.
static struct exec *looked_for;

// Others may own connections in this mode.
static bool waits(const struct connection *connection) {
  return connection->on_events == on_waiting && connection->owner == looked_for;
}

static void tell_launch(struct connection *connection) {
  struct exec *exec = looked_for;
  if (!waits(connection)) return;
  if (exec->failure[0] == '\0') return answer_exec(connection, 201, "Created", exec);
  char body[COMMAND_FAILURE_BYTES * 6 + 64];
  size_t length = (size_t)snprintf(body, sizeof body, "{\"exit_code\":%d,\"error\":\"", exec->failure_status);
  length = json_escape(body, sizeof body - 4, length, exec->failure, strlen(exec->failure));
  length += (size_t)snprintf(body + length, sizeof body - length, "\"}");
  connection_answer_json(connection, 422, "Unprocessable Content", body, length);
}

static void on_launch(struct exec *exec) {
  looked_for = exec;
  connection_each(OWNED, tell_launch);
}

static void end_wait(struct connection *connection) {
  if (waits(connection)) connection_answer_error(connection, 409, "Conflict", "the exec was removed");
}

static void on_progress(struct exec *exec) {
  attach_progress(exec);
  if (exec->used) return;
  looked_for = exec;
  connection_each(OWNED, end_wait);
}

static void start(struct connection *connection) {
  static struct command command;
  struct json *request = json_parse(connection->body);
  const char *wrong = request != NULL ? command_take(&command, request) : "the body is not JSON";
  struct exec *exec = NULL;
  enum exec_refusal refusal = EXEC_STARTED;
  bool is_new = false;
  if (wrong == NULL) {
    // The daemon sends a request again if its answer was lost.
    exec = exec_find(command.id, strlen(command.id));
    is_new = exec == NULL;
    if (is_new) refusal = exec_start(&command, &exec);
  }
  if (request != NULL) command_free(&command);
  json_free(request);
  if (wrong != NULL) return connection_answer_error(connection, 400, "Bad Request", wrong);
  if (refusal == EXEC_TOO_MANY) {
    return connection_answer_error(connection, 503, "Service Unavailable", "too many execs run in this guest");
  }
  if (refusal != EXEC_STARTED) {
    return connection_answer_error(connection, 507, "Insufficient Storage", "the guest has no memory or process left");
  }
  if (!exec->launching) return answer_exec(connection, is_new ? 201 : 200, "OK", exec);
  connection->mode = OWNED;
  connection->owner = exec;
  connection->on_events = on_waiting;
}

// ---- one

static unsigned long number_in(const char *query, const char *name) {
  const char *at = strstr(query, name);
  return at != NULL ? strtoul(at + strlen(name), NULL, 10) : 0;
}

static void send_signal(struct connection *connection, const char *query, struct exec *exec) {
  unsigned long number = number_in(query, "number=");
  if (number == 0 || number > SIGNAL_MAX) {
    return connection_answer_error(connection, 400, "Bad Request", "number is missing or out of bounds");
  }
  if (exec_signal(exec, (int)number)) return answer_done(connection);
  connection_answer_error(connection, 409, "Conflict", "the program has ended");
}

static void resize(struct connection *connection, const char *query, struct exec *exec) {
  if (exec_resize(exec, (unsigned)number_in(query, "rows="), (unsigned)number_in(query, "columns="))) {
    return answer_done(connection);
  }
  connection_answer_error(connection, 409, "Conflict", "the program has no terminal, or has ended");
}

static void serve_one(struct connection *connection, const struct request *request) {
  const char *id = request->target + sizeof PREFIX;
  size_t rest = request->path_length - sizeof PREFIX, id_length = strcspn(id, "/?");
  const char *query = request->target + request->path_length, *action = id + id_length;
  size_t action_length = rest - id_length;
  struct exec *exec = exec_find(id, id_length);
  if (exec == NULL) return connection_answer_error(connection, 404, "Not Found", "there is no such exec");
  bool is_get = strcmp(request->method, "GET") == 0, is_post = strcmp(request->method, "POST") == 0;
  if (action_length == 0 && is_get) return answer_exec(connection, 200, "OK", exec);
  if (action_length == 0 && strcmp(request->method, "DELETE") == 0) {
    exec_remove(exec);
    return answer_done(connection);
  }
  if (is_get && action_length == 7 && strncmp(action, "/attach", 7) == 0) return attach_begin(connection, request, exec);
  if (is_post && action_length == 7 && strncmp(action, "/signal", 7) == 0) return send_signal(connection, query, exec);
  if (is_post && action_length == 7 && strncmp(action, "/resize", 7) == 0) return resize(connection, query, exec);
  connection_answer_error(connection, 404, "Not Found", "there is no such route of an exec");
}

// ---- all

struct list {
  char *text;
  size_t length;
};

static void add_to_list(struct exec *exec, void *context) {
  struct list *list = context;
  if (exec->launching) return;
  if (list->length > 1) list->text[list->length++] = ',';
  list->length += describe_exec(exec, list->text + list->length, DESCRIPTION_BYTES_MAX);
}

static void answer_list(struct connection *connection) {
  struct list list = {malloc(LIST_BYTES_MAX), 0};
  if (list.text == NULL) return connection_close(connection);
  list.text[list.length++] = '[';
  exec_each(add_to_list, &list);
  list.text[list.length++] = ']';
  connection_answer_json(connection, 200, "OK", list.text, list.length);
  free(list.text);
}

static void serve(struct connection *connection, const struct request *request) {
  if (request->path_length > sizeof PREFIX) return serve_one(connection, request);
  if (strcmp(request->method, "POST") == 0) return http_receive_body(connection, request, BODY_BYTES_MAX, start);
  if (strcmp(request->method, "GET") == 0) return answer_list(connection);
  connection_answer_error(connection, 404, "Not Found", "there is no such route");
}

void exec_serve(void) {
  exec_on_change(on_launch, on_progress);
  http_serve_below(PREFIX, serve);
}
