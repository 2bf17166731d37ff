// guest: heads of HTTP/1 messages as texts. A head is a string that has an empty line.
#ifndef VOLANT_GUEST_HEADS_H
#define VOLANT_GUEST_HEADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/manifest_limits.h"

// How much of the head of a workload's answer was read.
struct answer_head {
  bool complete, line_is_empty;
  char last;
  char start[sizeof "HTTP/1.1 200"];  // the beginning of its first line
  size_t start_length;
};

// What follows the head of a request on its way to the workload.
struct request_body {
  bool switches;  // the client asks for another protocol, and there is no body
  size_t length;  // SIZE_MAX: the body itself says where it ends
};

struct request {
  char method[REQUEST_METHOD_BYTES_MAX + 1];
  char target[REQUEST_TARGET_BYTES_MAX + 1];  // path and query as they were sent
  size_t path_length;  // of target, without the query
  size_t head_length;  // including the empty line
};

// Where the workload listens, and the prefix of its paths.
struct place {
  const char *host, *prefix;
  uint16_t port;
};

// Reads method and target. Returns false if the first line is not one of HTTP/1, or a line does not end with CRLF.
bool head_read_request(const char *head, struct request *request);
// Copies the value of a header, truncated to the buffer, with a NUL. Returns false if the request has no such header.
bool head_value(const char *head, const char *name, char *value, size_t size);
// Reads what follows the head. Returns false if the head is ambiguous about it.
bool head_read_body(const char *head, struct request_body *body);
// Writes the head that the workload gets. Returns its length, or 0 if it does not fit.
size_t head_for_workload(const char *head, const struct place *place, const char *method, const char *path,
                         bool switches, char *out, size_t size);
// Copies the next bytes of an answer and completes line ends of the head to CRLF, because programs for CGI write a bare LF.
// Returns the number of bytes written, which is up to twice `length`.
size_t head_take_answer(struct answer_head *head, const char *from, size_t length, char *out);
// Whether the head is complete and has status 101, Switching Protocols.
bool head_switches(const struct answer_head *head);
// Whether `length` bytes of an answer begin with a status line of class 2xx.
bool head_is_success(const char *answer, size_t length);

#endif
