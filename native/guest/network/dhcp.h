// guest: a DHCP client (RFC 2131) for one interface.
#ifndef VOLANT_GUEST_DHCP_H
#define VOLANT_GUEST_DHCP_H

#include "network/interface.h"

// Gets what a new or renewed lease says, or NULL when the lease is lost.
typedef void (*lease_callback)(const char *device, const struct network *network);
// Asks for a lease for an interface that is up. Waits some seconds for the first one, and then keeps the lease, or keeps
// asking, in the loop. Calls back for each change. A failure is reported on the console.
void dhcp_start(const char *device, const char *hostname, lease_callback on_lease);
// Gives the lease back. Does nothing without one.
void dhcp_release(void);

#endif
