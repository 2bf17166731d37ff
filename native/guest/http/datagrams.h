// guest: connections that are handed to a UDP port of the guest.
#ifndef VOLANT_GUEST_DATAGRAMS_H
#define VOLANT_GUEST_DATAGRAMS_H

#include "http/connection.h"

// Hands the connection to a UDP port of the guest. On the connection each datagram has its length in front.
void datagrams_begin(struct connection *connection, const struct request *request, uint16_t port);
// Handles events of the client of a connection in the mode RELAYING with `datagrams`.
void datagrams_on_client(struct connection *connection, uint32_t events);

#endif
