// guest: what http.c and relay.c share: the connection. Nobody else needs it.
#ifndef VOLANT_AGENT_HTTP_H
#define VOLANT_AGENT_HTTP_H

#include "agent.h"

#define HEAD_BYTES_MAX 16384
#define RELAY_BYTES (HEAD_BYTES_MAX + 4096)

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

// The value of a header, copied and closed with a NUL; false when it is not there.
bool head_value(const char *head, const char *name, char *value, size_t size);

// Room for RELAY_BYTES. false when there is no memory.
bool flow_init(struct flow *flow);
// Hands the request to the workload; path is what stands behind /v1.
void relay_begin(struct connection *connection, const char *method, const char *path,
                 size_t head_length);
// Moves what can be moved and says what to wait for.
void relay_pump(struct connection *connection);

// A timer's callback, too: what waited too long is closed.
void close_connection(void *context);
void answer_error(struct connection *connection, int status, const char *reason, const char *why);

#endif
