// guest: requests that the workload answers, and connections that are handed to a TCP port of the guest.
#ifndef VOLANT_GUEST_RELAY_H
#define VOLANT_GUEST_RELAY_H

#include "http/connection.h"

// Hands a request to the workload. `path`, with its query, is the one that the workload sees. Answers with an error if that is
// not possible.
void relay_begin(struct connection *connection, const struct request *request, const char *path);
// Hands the connection to a TCP port of the guest. Bytes then pass unchanged.
void tunnel_begin(struct connection *connection, const struct request *request, uint16_t port);
// Handles events of the client of a connection in the mode RELAYING.
void relay_on_client(struct connection *connection, uint32_t events);

#endif
