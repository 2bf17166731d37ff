// guest: one connection of the HTTP server: its state, its end, and answers that fit into a buffer.
#ifndef VOLANT_GUEST_CONNECTION_H
#define VOLANT_GUEST_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heads.h"
#include "base/loop.h"
#include "http/flow.h"

#define HEAD_BYTES_MAX 16384
#define RELAY_BYTES (HEAD_BYTES_MAX + 4096)
#define RELAY_IDLE_MS 300000

enum mode { READING, RECEIVING, ANSWERING, RELAYING, STREAMING, OWNED, ENDING };

struct connection {
  bool used, trusted, head_only;
  bool tunnels;        // RELAYING bytes that are not HTTP: each side ends by itself
  bool datagrams;      // RELAYING to a UDP port
  bool awaits_switch;  // RELAYING: bytes behind the head wait until the workload has agreed to another protocol
  size_t up_left;      // RELAYING: bytes that still belong to the request; later ones are discarded
  bool hung_up;        // the client has ended both directions; what it sent before is still to be read
  int retry_after_s;   // of an error that is answered; 0: none is told
  enum mode mode;
  struct source client;
  struct source backend;
  bool has_backend, backend_connected;
  char *in;  // the head of the request
  size_t in_length;
  char *body;  // RECEIVING
  size_t body_length, body_expected;
  struct flow up, down;  // to the workload, to the client
  struct answer_head answer_head;
  uint64_t next_line;  // STREAMING: the number of a log line
  void (*body_done)(struct connection *connection);  // RECEIVING: the body is complete
  // Answers the request in the place of all routes. NULL: the routes do.
  void (*service)(struct connection *connection, const struct request *request);
  void *owner;  // OWNED: belongs to the module that set it, with what is called for events and before the connection closes
  void (*on_events)(struct connection *connection, uint32_t events);
  void (*on_close)(struct connection *connection);
};

// A free connection with a buffer for the head. If all are in use, one whose client has got everything is closed. Returns
// NULL if there is none or memory is short.
struct connection *connection_take(void);
// Calls `visit` for each connection in a mode. `visit` may close its connection.
void connection_each(enum mode mode, void (*visit)(struct connection *connection));
// The number of connections of a service.
unsigned connection_count(void (*service)(struct connection *connection, const struct request *request));
// Closes a connection at once and frees what belongs to it. It is a timer_callback, too, for clients that are too slow.
void connection_close(void *connection);
// Waits, for a short time, until the client closes. If a socket is closed while bytes of its client are unread, the kernel
// resets the connection, and the client may lose the answer.
void connection_end(struct connection *connection);
// Closes the side of the workload only.
void connection_drop_backend(struct connection *connection);
// Writes what the client takes, ends the connection after the last byte, and sets what is watched for.
void connection_send(struct connection *connection);
// Reads and discards what the client still sends. Closes the connection when the client ends it.
void connection_discard(struct connection *connection);
// Answers with a complete response.
void connection_answer(struct connection *connection, int status, const char *reason, const char *type,
                       const char *body);
// Answers with bytes of any length. A client that is too slow is disconnected.
void connection_answer_bytes(struct connection *connection, int status, const char *reason, const char *type,
                             const char *body, size_t length);
// Answers with JSON of any length. A client that is too slow is disconnected.
void connection_answer_json(struct connection *connection, int status, const char *reason, const char *body, size_t length);
// Answers with a JSON object that has the member `error`.
void connection_answer_error(struct connection *connection, int status, const char *reason, const char *why);
// Puts status 101 into the flow to the client. Bytes of another protocol follow.
void connection_answer_upgrade(struct connection *connection);

#endif
