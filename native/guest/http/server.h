// guest: the HTTP server of the agent.
#ifndef VOLANT_GUEST_SERVER_H
#define VOLANT_GUEST_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heads.h"
#include "http/connection.h"

#define HTTP_PORT 8080
#define HTTP_HOOKS_MAX 4

typedef void (*http_handler)(struct connection *connection, const struct request *request);

// Listens on TCP and vsock, and sends new lines of the log to its readers. A failure is reported on the console.
void http_listen(void);
// Listens on a port of the loopback address, whose requests the service answers alone: no route is served there, and the daemon
// connects nobody to it. Does nothing if there is such a port already. Returns false if the port cannot be listened on.
bool http_serve_local(uint16_t port, http_handler service);
// Hands requests of the daemon at or below a path, with any method, to a module above this one. At most HTTP_HOOKS_MAX.
void http_serve_below(const char *path, http_handler handle);
// Receives the body of a request into memory, adds a NUL, and calls `done`. Answers 400 if its length is missing, or more than
// `bytes_max`.
void http_receive_body(struct connection *connection, const struct request *request, size_t bytes_max,
                       void (*done)(struct connection *connection));
// Serves one connection, whose descriptor it takes over. A trusted one comes from the channel and may use /agent/*.
void http_serve(int fd, bool trusted);

#endif
