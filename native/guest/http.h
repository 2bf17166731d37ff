// guest: what the parts of the HTTP server share: the connection, and heads as texts.
#ifndef VOLANT_AGENT_HTTP_H
#define VOLANT_AGENT_HTTP_H

#include "agent.h"

#define HEAD_BYTES_MAX 16384
#define RELAY_BYTES (HEAD_BYTES_MAX + 4096)
#define RELAY_IDLE_MS 300000

enum mode { READING, RECEIVING, ANSWERING, RELAYING, STREAMING, ENDING };

// What was read on one side and not yet written on the other.
struct flow {
  char *data;
  size_t size;
  size_t start, end;
  bool ended;   // no more will be read
  bool closed;  // the other side was told so
  bool moved;   // the other side has taken something
};

// How far the head of a workload's answer was read: its lines get the ends that HTTP wants.
struct answer_head {
  bool complete, line_is_empty;
  char last;
  char start[sizeof "HTTP/1.1 200"];  // of its first line
  size_t start_length;
};

// What follows the head of a request on its way to the workload.
struct request_body {
  bool switches;  // no body: bytes of another protocol, once the workload has agreed to it
  size_t length;  // SIZE_MAX: it says itself where it ends
};

struct request {
  char method[REQUEST_METHOD_BYTES_MAX + 1];
  char target[REQUEST_TARGET_BYTES_MAX + 1];  // path and query as they were sent
  size_t path_length;  // of target; a query begins behind it
  size_t head_length;  // of connection->in; what follows is the beginning of the body
};

struct connection {
  bool used, trusted, head_only;
  bool tunnels;    // RELAYING, and not HTTP: bytes as they are, each side ends by itself
  bool datagrams;  // RELAYING, to a UDP port
  bool awaits_switch;  // RELAYING: what comes behind the head waits until the workload has agreed to another protocol
  size_t up_left;      // RELAYING: so many bytes more are the workload's; what comes behind them is nobody's
  bool hung_up;    // both ways to the client are ended; what it said before is still to be read
  enum mode mode;
  struct source client;
  struct source backend;
  bool has_backend, backend_connected;
  char *in;
  size_t in_length;
  char *body;  // RECEIVING
  size_t body_length, body_expected;
  struct flow up, down;  // to the workload, to the client
  struct answer_head answer_head;
  uint64_t next_line;    // STREAMING
};

// Where the workload listens, and what stands before its paths.
struct place {
  const char *host, *prefix;
  uint16_t port;
};

// ---- heads.c: a head is closed with a NUL somewhere behind its empty line

// Method and target. false when it is no head of HTTP/1: its first line is another, or a line ends otherwise
// than with CRLF.
bool head_read_request(const char *head, struct request *request);
// The value of a header of the request, copied and closed with a NUL; false when it is not there.
bool head_value(const char *head, const char *name, char *value, size_t size);
// What follows the head. false when it does not say so clearly.
bool head_read_body(const char *head, struct request_body *body);
// Writes the head that the workload gets, of one that was read. Returns its length, 0 when it does not fit.
size_t head_for_workload(const char *head, const struct place *place, const char *method, const char *path,
                         bool switches, char *out, size_t size);
// Writes the next bytes of an answer, with lines that end as HTTP wants it. Returns their number: up to twice as many.
size_t head_take_answer(struct answer_head *head, const char *from, size_t length, char *out);
// Whether the workload has agreed to another protocol, with a head that is complete.
bool head_switches(const struct answer_head *head);
// Whether an answer begins with a status of success. At least `length` bytes are there.
bool head_is_success(const char *answer, size_t length);

// ---- http.c, relay.c, datagrams.c

// false when there is no memory.
bool flow_init(struct flow *flow, size_t size);
// Reads what there is room for. false when the connection is broken.
bool flow_fill(struct flow *flow, int fd);
// Writes what can be written, and at the end that it is the end. false when the connection is broken.
bool flow_drain(struct flow *flow, int fd);
// Hands the request to the workload. path, with its query, is the one that the workload sees.
void relay_begin(struct connection *connection, const struct request *request, const char *path);
// Hands the connection itself to a port of the guest.
void tunnel_begin(struct connection *connection, const struct request *request, uint16_t port);
// The same with a UDP port; datagrams have their length in front.
void datagrams_begin(struct connection *connection, const struct request *request, uint16_t port);
void datagrams_pump(struct connection *connection);
// Says that the connection is a tunnel from here on.
void relay_answer_upgrade(struct connection *connection);
// Moves what can be moved and says what to wait for.
void relay_pump(struct connection *connection);
// The workload's side is over; the client's goes on.
void drop_backend(struct connection *connection);

// A timer's callback, too: what waited too long is closed.
void close_connection(void *context);
// Everything was sent: waits, for a short time, until the client closes. A socket that is closed while
// bytes of its client are unread resets the connection, and the client may lose the answer.
void end_connection(struct connection *connection);
void answer_error(struct connection *connection, int status, const char *reason, const char *why);

#endif
